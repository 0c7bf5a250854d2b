"""Virtual machine monitors behind one protocol (driver.py). registry.py lists them; the lane selects one."""
