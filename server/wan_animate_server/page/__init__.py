"""The page for people: the queue, a take beside its plate, a job's log. Server-rendered, without a build chain."""
