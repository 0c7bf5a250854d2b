"""Virtual machine monitors behind one protocol (driver.py); registry.py lists them, and the lane chooses one."""
