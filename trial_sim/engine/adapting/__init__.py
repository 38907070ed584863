"""Trials that change while they run: patients who may come, statistics by stage, rules, actions."""
