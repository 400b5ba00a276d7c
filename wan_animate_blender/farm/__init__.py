"""Whole scenes on a render farm: what is submitted, and thin descriptions of it for engines that exist."""
