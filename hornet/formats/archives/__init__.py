"""Images that are no file system: a tar, the layers of an OCI image, a directory. Nothing of them is unpacked."""
