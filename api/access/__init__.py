"""Who is calling, by key or by cookie, what they may do, and what is noted of it."""
