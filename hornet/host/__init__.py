"""This host: processes, files, workspace, artifact store, and what it is and has."""
