"""What `python -m bench` prints and writes: tables in Markdown, every measured value in JSON, a plot."""

import dataclasses
import datetime
import re
from pathlib import Path

from bench import measure
from nft_keras.experiments.files import atomic_write, write_json
from nft_keras.experiments.reports.tables import markdown
from nft_keras.experiments.train.environment import describe


@dataclasses.dataclass
class Table:
    """A table of the report.

    Attributes:
        title: str.
        note: str, what the columns are.
        head: list of str.
        rows: list of lists of str.
        values: dict of what was measured, for JSON.
    """

    title: str
    note: str
    head: list
    rows: list = dataclasses.field(default_factory=list)
    values: dict = dataclasses.field(default_factory=dict)

    def text(self):
        """The table in Markdown under its title."""
        return f"## {self.title}\n\n{self.note}\n\n{markdown(self.head, self.rows)}\n"


def times(quartiles):
    """'1.94 (1.90 to 2.01)' of (low, median, high)."""
    low, median, high = quartiles
    return f"{median:.2f} ({low:.2f} to {high:.2f})"


def milliseconds(values):
    """The median of seconds in milliseconds, three digits."""
    return f"{measure.quartiles(values)[1] * 1e3:.3g}"


_TIMES = (
    "Batch 32 where nothing else is said. "
    "Every figure is a median over rounds in which what is compared ran in turns, with its quartiles."
)


def write(tables, out, command, meaning=_TIMES):
    """Writes bench.md, bench.json and bench.png into the folder `out`; returns the Markdown."""
    when, version = datetime.date.today().isoformat(), describe()["nft_keras"]
    head = f"# {command}\n\n{when}, nft_keras {version}, {measure.machine()}. {meaning}\n\n"
    text = head + "\n".join(table.text() for table in tables)
    with atomic_write(Path(out, "bench.md")) as temporary:
        temporary.write_text(text, encoding="utf-8")
    sections = {table.title: table.values for table in tables}
    write_json(Path(out, "bench.json"), {"command": command, "machine": measure.machine(), "tables": sections})
    speed_ups = next((table.values for table in tables if "speed_ups" in table.values), None)
    if speed_ups:
        with atomic_write(Path(out, "bench.png")) as temporary:
            _plot(speed_ups["speed_ups"]).savefig(temporary, dpi=150)
    return text


def _plot(speed_ups):
    """Bars with quartiles: a group for each workload, a bar for each step, a mark where a target is."""
    import matplotlib

    matplotlib.use("Agg", force=False)
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(9, 4), layout="constrained")
    looks = {"CT": ("0.92", ""), "phase 1": ("0.75", "//"), "phase 2": ("0.55", ".."), "NFT epoch": ("0.25", "")}
    width = 0.8 / len(looks)
    for i, (step, (grey, hatch)) in enumerate(looks.items()):
        low, median, high = zip(*(ratios[step] for ratios in speed_ups.values()), strict=True)
        at = [group + (i - 1.5) * width for group in range(len(speed_ups))]
        errors = [[m - a for m, a in zip(median, low, strict=True)], [b - m for m, b in zip(median, high, strict=True)]]
        axis.bar(at, median, width, yerr=errors, color=grey, hatch=hatch, edgecolor="black", ecolor="0.4", label=step)
    for group, ratios in enumerate(speed_ups.values()):
        if ratios["target"]:
            for colour, line in (("white", 6), ("black", 3)):
                axis.plot([group + width, group + 2 * width], [ratios["target"]] * 2, color=colour, linewidth=line)
    axis.plot([], [], color="black", linewidth=3, label="target, NFT epoch")
    axis.axhline(1, color="black", linewidth=0.8)
    axis.set_xticks(range(len(speed_ups)), [re.sub(r" (?=\+|[a-z])", "\n", name) for name in speed_ups])
    axis.set_ylabel("speed-up over a plain PyTorch loop")
    axis.legend(ncols=5, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), frameon=False)
    return figure
