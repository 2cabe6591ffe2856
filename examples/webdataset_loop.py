"""Train from a WebDataset pipeline: a stage reads the spectra of a batch from the bytes of its images.

pip install 'prepixel[train]' webdataset
"""

from pathlib import Path

import torch
import webdataset
from torch.nn.functional import cross_entropy

from prepixel import frequency_resnet
from prepixel.data import FolderDataset, RandomCrop, SpectrumDecoder, write_synthetic

# shards are written here: 10 classes of 8 photos each, in two tar files
folder, _ = write_synthetic("runs/examples/data", num_train_per_class=8, num_val_per_class=2)
files = FolderDataset(folder)
Path("runs/examples/shards").mkdir(parents=True, exist_ok=True)
with webdataset.ShardWriter("runs/examples/shards/train-%03d.tar", maxcount=40, verbose=0) as shards:
    for place, sample in enumerate(files.samples):
        shards.write({"__key__": f"{place:04}", "jpg": Path(sample.path).read_bytes(), "cls": sample.label})

decoder = SpectrumDecoder("jpg", bands="S-24", grid=(14, 14), transform=RandomCrop(areas=(0.5, 1.0)))
pipeline = (
    webdataset.WebDataset("runs/examples/shards/train-{000..001}.tar", shardshuffle=2, seed=0)
    .shuffle(80)
    .decode()  # labels to numbers; without an image handler, JPEGs stay bytes
    .batched(16, collation_fn=decoder)
)
loader = webdataset.WebLoader(pipeline, batch_size=None)  # batches are made in the pipeline, by a worker if it has any

torch.manual_seed(0)
network = frequency_resnet(18, decoder.reader.bands, num_classes=len(files.classes))
optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
for epoch in range(1, 6):
    losses = []
    for batch in loader:
        loss = cross_entropy(network(batch["jpg"]), batch["cls"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    print(f"epoch {epoch}: loss {torch.stack(losses).mean():.3f}")
