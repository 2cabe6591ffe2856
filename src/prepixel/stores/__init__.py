"""Object stores: paths such as s3://bucket/photos, wherever a folder may stand."""
