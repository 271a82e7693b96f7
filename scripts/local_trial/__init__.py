"""The trial of the kinds with a real model: translation and extraction of real texts, judged and shown."""
