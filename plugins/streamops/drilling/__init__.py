"""Recovery drills: faults on purpose, watched, healed and judged at the sink."""
