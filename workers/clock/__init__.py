"""What beat's process does by the clock: the sweep, deadlines, marks of progress, webhooks."""
