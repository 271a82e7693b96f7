"""Pipelines: files of the stages that a row goes through, and what follows from them; no row is read here."""
