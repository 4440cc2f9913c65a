"""The GRU and its relatives, compared under equal conditions: `python -m training compare`."""
