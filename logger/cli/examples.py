"""What a user would type: the examples that ``--help`` and the manual show."""

import click

#: what is typed behind ``envoylog``, and what it is for
_TABLE = """
setup  # find the gateway; asks what it can't find out
setup --host 192.168.1.20  # where mDNS finds none
setup --dry-run  # try everything, write nothing
setup --yes --token-file token.txt  # ask nothing
discover  # gateways on this network
discover --timeout-s 20 --json  # a slow network; for a program
service status  # does it run, and what to type
service install --dry-run  # what it would do
service install  # from now on, also after a reboot
service install --reader anna  # anna may read too
service remove  # the data stay
poll  # ask once, and store
poll --no-store  # only look
run  # collect; Ctrl-C stops it
status  # how things stand
status --json  # for a program
health  # for Nagios, cron and the like
panels  # is a panel weak, dead or silent?
panels --for-installer  # for whoever repairs it
panels --json  # for a program
fleet status  # many gateways, the worst first
fleet status --json  # for a program
fleet report --from last-month  # who made less than the others
fleet report --from this-year -o fleet.xlsx  # a workbook
fleet report --lake lake --scheduler tcp://host:8786  # counted by a Dask cluster
notify test  # does each receiver hear it?
report daily  # the last 31 days
report daily --from last-month  # the days of the last month
report daily --from this-year -o year.xlsx  # a workbook
report hourly  # today, hour by hour
report hourly --from yesterday  # yesterday
report monthly --from 2025 --to 2026  # two years, month by month
report monthly --format csv --locale de -o m.csv  # for German Excel
report monthly --locale fr -o energie.xlsx  # a workbook in French
report yearly  # every year there is
report monthly --from this-year --compare year-before  # better than last year?
report quarter-hourly --from yesterday  # for a dynamic tariff
report panels --from 7d  # each panel beside its neighbours
report inverters --from yesterday  # what each panel made
report phases --from 7d  # each phase, of the last week
report quality --from last-month  # what was missing, and why
report battery  # batteries, day by day
report battery monthly --from this-year  # and month by month
report page --month last-month -o month.html  # to look at, to print, to send
report page --year 2026 -o 2026.html  # a year on two sheets
report page --all -o /srv/energy  # every month and year, for a web server
doctor  # what is wrong, and what to do about it
doctor --bundle recording.json  # for whoever helps you: no serials, no secrets
config check  # can it be used?
config show  # where each value comes from
token show  # whose it is, and how long it lasts
token set  # paste one; it is not shown
token set roof --file token.txt  # of one of several gateways
token renew  # fetch one with the Enlighten account
trust show  # the pinned certificate, and today's
trust accept  # after a firmware update changed it
docs  # which pages there are
docs configuration  # one of them
docs --man | man -l -  # the manual page
export production --from last-month -o month.csv  # a month of samples
export meters --format jsonl | gzip > meters.gz  # everything, in a stream
export inverters --from this-year -o inverters.parquet  # Parquet files
export all --format parquet -o lake --since-last  # a lake of Parquet files, each night
db size  # what takes how much room
db check  # is it sound and complete?
db backup -o /media/stick --keep 3  # while envoylog collects
db restore envoylog-20260601-120000.db  # stop envoylog before
db publish /mnt/nas/energy.db  # a copy for others to read
db copy postgresql://me@server/energy  # from SQLite to PostgreSQL
db rebuild --dry-run  # which days would change
db rebuild --from 2026-03  # compute them anew
db prune --dry-run  # what would go
db prune --vacuum --yes  # and give the room back
db upgrade  # after installing a new version
db current  # which version it has
sql datasette-metadata -o meta.json  # for: datasette -m meta.json FILE
sql duckdb --lake lake -o lake.sql  # for: duckdb -init lake.sql
sql grafana -o /etc/grafana  # dashboards, where Grafana looks
sql grafana --engine postgresql -o grafana  # to look at first
sql create-reader analyst  # PostgreSQL: a role that only reads
demo  # takes about a minute and a half
demo --days 730 --live-s 0 -o /tmp/demo  # two years of history, nothing live
simulate --port 8443 --token-file token.txt  # one to try things with
simulate --cts net --phases 3 --speed 60  # an hour takes a minute
simulate --from recording.json  # what a gateway answered when it was recorded
completion bash > ~/.envoylog-completion  # then source it in ~/.bashrc
completion fish > ~/.config/fish/completions/envoylog.fish  # for good
"""
#: what fits behind the margin of a help text
_WIDTH = 78
#: in the same order, as words of a command line and a comment
EXAMPLES = [line.split("  # ") for line in _TABLE.strip().splitlines()]


def of(path: str) -> list[tuple[str, str]]:
    """Return the examples of a command (`db backup`), or the first of each command of a group (`db`)."""
    return [(typed, why) for typed, why in EXAMPLES if f"{typed} ".startswith(f"{path} ")]


def add_to(command: click.Command, path: str) -> None:
    """Have the help of a command, and of those below it, end with its examples."""
    found = of(path)
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            add_to(below, f"{path} {name}")
        found = [examples[0] for name in command.commands if (examples := of(f"{path} {name}"))]
    if found:
        width = max(len(typed) for typed, _ in found)
        lines = [f"  envoylog {typed:<{width}}  # {why}" for typed, why in found]
        if max(map(len, lines)) > _WIDTH:
            lines = [line for typed, why in found for line in (f"  # {why}", f"  envoylog {typed}")]
        command.epilog = "\n".join(("\b", "Examples:", *lines))
