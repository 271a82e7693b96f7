"""The databases: how they are opened, waited for, brought up to date, and written to in bulk."""
