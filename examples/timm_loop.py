"""Train a network of timm on spectra: create_model folded, with timm's optimizer and learning rate schedule.

pip install 'prepixel[train,pretrained]'
"""

import timm
import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from prepixel import fold
from prepixel.data import RandomCrop, SpectrumFolder, write_synthetic

folder, _ = write_synthetic("runs/examples/data", num_train_per_class=8, num_val_per_class=2)
images = SpectrumFolder(folder, bands="S-24", grid=(16, 16), transform=RandomCrop(areas=(0.5, 1.0)))
loader = DataLoader(images, batch_size=16, shuffle=True)

torch.manual_seed(0)
model = timm.create_model("resnet10t", num_classes=len(images.classes))  # pretrained=True takes its ImageNet weights
cfg = model.pretrained_cfg
# 16 x 16 blocks are an image of 128 x 128 pixels; the network takes it at half that size
network = fold(model, pixels=64, grid=16, bands="S-24", mean=cfg["mean"], std=cfg["std"])
network.train()
optimizer = create_optimizer_v2(network, opt="adamw", lr=1e-3, weight_decay=0.05)
schedule = CosineLRScheduler(optimizer, t_initial=6, warmup_t=1, warmup_lr_init=1e-4)
for epoch in range(6):
    schedule.step(epoch)
    losses = []
    for spectra, targets in loader:
        loss = cross_entropy(network(spectra), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    print(f"epoch {epoch + 1}: loss {torch.stack(losses).mean():.3f}")
