"""Train on a Hugging Face data set, in memory and streaming; its images stay encoded until a batch is read.

pip install 'prepixel[train]' datasets
"""

import torch
from datasets import Image, load_dataset
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from prepixel import frequency_resnet
from prepixel.data import RandomCrop, SpectrumDecoder, write_synthetic

# any data set with an image column; this one is written here: 10 classes of 8 photos each
folder, _ = write_synthetic("runs/examples/data", num_train_per_class=8, num_val_per_class=2)
rows = load_dataset("imagefolder", data_dir=str(folder), split="train", cache_dir="runs/examples/cache")
rows = rows.cast_column("image", Image(decode=False))  # hands out the files' bytes

decoder = SpectrumDecoder("image", bands="S-24", grid=(14, 14), transform=RandomCrop(areas=(0.5, 1.0)))
torch.manual_seed(0)
network = frequency_resnet(18, decoder.reader.bands, num_classes=rows.features["label"].num_classes)
optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)


def train(loader: DataLoader, epoch: int) -> None:
    """Train for one epoch and print its mean loss."""
    losses = []
    for batch in loader:
        loss = cross_entropy(network(batch["image"]), batch["label"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    print(f"epoch {epoch}: loss {torch.stack(losses).mean():.3f}")


# In memory: with_transform makes spectra of a batch whenever its rows are asked for.
spectra = rows.with_transform(decoder)
for epoch in range(1, 4):
    train(DataLoader(spectra, batch_size=16, shuffle=True), epoch)

# Streaming: the loader's collate function reads the batch, in a worker if the loader has any.
stream = rows.to_iterable_dataset().shuffle(seed=0, buffer_size=64)
for epoch in range(4, 6):
    stream.set_epoch(epoch)
    train(DataLoader(stream, batch_size=16, collate_fn=decoder), epoch)
