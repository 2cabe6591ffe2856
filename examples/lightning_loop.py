"""Train with Lightning: a LightningDataModule of spectra and a LightningModule.

pip install 'prepixel[train]' lightning
"""

import lightning
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from prepixel import Spectrum, frequency_resnet
from prepixel.data import CenterCrop, RandomCrop, SpectrumFolder, write_synthetic


class SpectrumData(lightning.LightningDataModule):
    """Read spectra of 10 classes of photos, which are written first."""

    def prepare_data(self) -> None:
        write_synthetic("runs/examples/data", num_train_per_class=8, num_val_per_class=2)

    def setup(self, stage: str) -> None:
        like = {"bands": "S-24", "grid": (14, 14)}
        self.train = SpectrumFolder("runs/examples/data/train", transform=RandomCrop(areas=(0.5, 1.0)), **like)
        self.val = SpectrumFolder("runs/examples/data/val", transform=CenterCrop(), **like)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, batch_size=16, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.val, batch_size=16)


class SpectrumClassifier(lightning.LightningModule):
    """Classify spectra; Lightning moves them to the device, as it does tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.network = frequency_resnet(18, "S-24", num_classes=10)

    def training_step(self, batch: tuple[Spectrum, torch.Tensor], index: int) -> torch.Tensor:
        loss = cross_entropy(self.network(batch[0]), batch[1])
        self.log("loss", loss, on_step=False, on_epoch=True, batch_size=len(batch[0]))
        return loss

    def validation_step(self, batch: tuple[Spectrum, torch.Tensor], index: int) -> None:
        self.log("val_loss", cross_entropy(self.network(batch[0]), batch[1]), batch_size=len(batch[0]))

    def on_train_epoch_end(self) -> None:
        loss, val_loss = self.trainer.callback_metrics["loss"], self.trainer.callback_metrics["val_loss"]
        self.print(f"epoch {self.current_epoch + 1}: loss {loss:.3f}, val_loss {val_loss:.3f}")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


lightning.seed_everything(0, verbose=False)
trainer = lightning.Trainer(max_epochs=5, logger=False, enable_checkpointing=False, enable_progress_bar=False)
trainer.fit(SpectrumClassifier(), SpectrumData())
