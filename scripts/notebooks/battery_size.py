"""What a battery would bring: how much less would come from the grid, by its size.

A notebook as a script: VS Code, Spyder and Jupytext open it cell by cell, and `python battery_size.py` runs it. It
reads the database of the configuration, or the one that ENVOYLOG_DATABASE_URL names.
"""

# %% [markdown]
# The battery takes what would go to the grid, and gives what would come from it, quarter hour by quarter hour. What is
# exported and imported within the same quarter hour is beyond what these figures show: a real one does a little better.

# %%
import numpy as np
import pandas as pd

import logger

#: kWh that can be used, the kW that it takes or gives at most, and what is left of a kWh there and back
SIZES_KWH = (0, 2.5, 5, 10, 15, 20)
POWER_KW, ROUND_TRIP = 3.84, 0.9

db = logger.connect()
name = db.gateways.index[0]
quarters = db.energy("15min", gateway=name)[["grid_import_kwh", "grid_export_kwh", "coverage_pct"]]
days = len(quarters.dropna()) / 96

# %% [markdown]
# A quarter hour of which nothing is known gives and takes nothing; there are few.

# %%
unknown = quarters["grid_import_kwh"].isna() | quarters["grid_export_kwh"].isna()
print(f"{name}: {days:.0f} days, {unknown.mean():.1%} of the quarter hours not known", end="\n\n")
taken, given = (quarters[column].fillna(0).to_numpy() for column in ("grid_export_kwh", "grid_import_kwh"))


# %%
def saved_kwh(size_kwh: float) -> float:
    """Return how much less comes from the grid with a battery of this size."""
    most_kwh, stored_kwh, saved = POWER_KW / 4, 0.0, 0.0
    for surplus, need in zip(taken, given, strict=True):
        charge = min(surplus, most_kwh, (size_kwh - stored_kwh) / ROUND_TRIP)
        stored_kwh += charge * ROUND_TRIP
        discharge = min(need, most_kwh, stored_kwh)
        stored_kwh -= discharge
        saved += discharge
    return saved


# %% [markdown]
# What the next kWh of size brings is what counts: the last column.

# %%
sizes = pd.DataFrame({"size_kwh": SIZES_KWH, "saved_kwh": [saved_kwh(size) for size in SIZES_KWH]})
sizes["saved_pct"] = 100 * sizes["saved_kwh"] / given.sum()
sizes["per_further_kwh"] = np.append(np.nan, np.diff(sizes["saved_kwh"]) / np.diff(sizes["size_kwh"]))
print(sizes.round(1).to_string(index=False))
