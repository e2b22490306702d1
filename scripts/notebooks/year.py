"""A house's year: what it made and used, by month and by the hour, and how sure that is.

A notebook as a script: VS Code, Spyder and Jupytext open it cell by cell, and `python year.py` runs it. It reads the
database of the configuration, or the one that ENVOYLOG_DATABASE_URL names.
"""

# %% [markdown]
# Quarter hours are enough for all of this: months, mean days and shares are sums of them.

# %%
import pandas as pd

import logger

db = logger.connect()
quarters = db.energy("15min")
FLOWS = ["production_kwh", "consumption_kwh", "grid_import_kwh", "grid_export_kwh"]

# %% [markdown]
# By month. A sum is unknown where none of it is known, and a ratio comes of summed energies: means of ratios would
# weigh a dark day like a bright one.

# %%
months = quarters.groupby(["gateway", quarters.index.tz_localize(None).to_period("M")])[FLOWS].sum(min_count=1)
used_at_home = months["consumption_kwh"] - months["grid_import_kwh"]
months["self_sufficiency_pct"] = (100 * used_at_home / months["consumption_kwh"]).clip(lower=0)
print(months.round(1).to_string(), end="\n\n")

# %% [markdown]
# The mean day of each month, in kW: four times the energy of a quarter hour.

# %%
by_hour = quarters.assign(month=quarters.index.month, hour=quarters.index.hour)
mean_day_kw = 4 * by_hour.pivot_table(index="hour", columns="month", values="production_kwh", aggfunc="mean")
print(mean_day_kw.round(2).to_string(), end="\n\n")

# %% [markdown]
# The views have the same months, to the last digit of what they round to.

# %%
views = db.energy("monthly")
difference_kwh = (months["production_kwh"].to_numpy() - views["production_kwh"].to_numpy()).round(3)
print("largest difference to v_energy_monthly:", pd.Series(difference_kwh).abs().max(), "kWh", end="\n\n")

# %% [markdown]
# How sure that is: what was measured of each month, and the longest gaps.

# %%
print(views[["gateway", "coverage_pct", "bridged_kwh"]].round(1).to_string(), end="\n\n")
print(db.gaps().nlargest(5, "missing_s").to_string())
