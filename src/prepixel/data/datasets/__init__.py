"""Labeled images on disk: folders, COCO annotations, packed shards, and synthetic images."""
