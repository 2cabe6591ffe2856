"""Work on whole data sets: scanning, packing and band-limiting, in parallel and resumable."""
