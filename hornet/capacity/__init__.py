"""How many hosts a fleet of agents needs: footprints, profiles, simulation, closed forms, limits, the answer."""
