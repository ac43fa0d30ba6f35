"""Training a twin: loss, optimizer, schedules, the Lightning module and the fit."""
