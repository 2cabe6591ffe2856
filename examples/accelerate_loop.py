"""Train with Accelerate, in one process or several: accelerate launch examples/accelerate_loop.py.

pip install 'prepixel[train]'
"""

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from prepixel import frequency_resnet
from prepixel.data import RandomCrop, SpectrumFolder, write_synthetic

accelerator = Accelerator()
set_seed(0)
with accelerator.main_process_first():
    folder, _ = write_synthetic("runs/examples/data", num_train_per_class=8, num_val_per_class=2)
images = SpectrumFolder(folder, bands="S-24", grid=(14, 14), transform=RandomCrop(areas=(0.5, 1.0)))
loader = DataLoader(images, batch_size=16, shuffle=True)
network = frequency_resnet(18, "S-24", num_classes=len(images.classes))
optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
# moves each batch's spectra to the process's device, and gives each process its share of them
network, optimizer, loader = accelerator.prepare(network, optimizer, loader)
for epoch in range(1, 6):
    losses = []
    for spectra, targets in loader:
        loss = cross_entropy(network(spectra), targets)
        optimizer.zero_grad()
        accelerator.backward(loss)
        optimizer.step()
        losses.append(accelerator.gather(loss.detach()).mean())
    accelerator.print(f"epoch {epoch}: loss {torch.stack(losses).mean():.3f}")
