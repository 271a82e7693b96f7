"""How Tidemill's processes are started: each part alone, and all of them on one machine.

`up` is the one-machine launcher; `flower` and `checks` are what the commands of the same names run.
What the parts do is theirs: `api`, `workers`.
"""
