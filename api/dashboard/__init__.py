"""The dashboard: pages that the server makes, for people with a browser and a login.

Nothing is loaded from elsewhere, no page needs a script to be read or used, and every page is made of
counters, of small aggregates and of pages of rows: none grows with the number of jobs.
"""
