"""Files read as bytes: ELF, kernel configurations, scripts, ext4 images and the files inside them."""
