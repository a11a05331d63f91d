"""What a person sees while trials run: one live line per trial on a terminal, a line now and then elsewhere."""

import math
import re
import statistics
import time

from rich.console import Console
from rich.live import Live
from rich.text import Text

from nft_keras._text import visible
from nft_keras.experiments.methods import trial_title
from nft_keras.experiments.reports.tables import markdown

_OFTEN = 60  # seconds
# What tables leave out where there is no room, the first first.
_LEFT_OUT = ("epochs", "best epoch", "s per run", "last epoch: p", "last epoch: .*", "validation .*")


class Screen:
    """Shows the progress of trials on standard output's terminal, or quiet lines where there is none.

    Args:
        trials: the trials to come.
    """

    def __init__(self, trials):
        self.number, self.total = 0, len(trials)
        self.coming, self.took = [trial.cost_key for trial in trials], {}  # and the seconds of those that are done
        self.expected = {}  # {cost_key: seconds that were expected of such a trial}
        self.console = Console(highlight=False, soft_wrap=True)
        self.live = Live(console=self.console, transient=True, auto_refresh=False) if self.console.is_terminal else None

    def __enter__(self):
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *unused):
        if self.live:
            self.live.stop()

    def say(self, text, stderr=False):
        """Prints a line that stays."""
        console = Console(stderr=True, highlight=False, soft_wrap=True) if stderr else self.console
        console.print(Text(visible(text)))

    def note(self, text):
        """Shows a passing line; nothing where there is no terminal."""
        if self.live:
            self.live.update(Text(visible(text)), refresh=True)

    def tables(self, text):
        """Prints a report's tables; of one that is too wide for the terminal the columns that matter most."""
        if self.live:
            text = "\n\n".join(_narrower(part, self.console.width) for part in text.split("\n\n"))
        print(text)

    def trial(self, trial, share=1.0):
        """Begins a trial; returns the function that is called with the logs of each epoch.

        Args:
            trial: `nft_keras.experiments.recipe.trial.Trial`.
            share: float, what a classic epoch takes of the time of one on altered data, until both have been seen.
        """
        self._begin(trial)
        epochs, first = trial.training.epochs, getattr(trial.method_settings.plan, "first_simplified_epoch", 1)
        title = self._title(trial)
        self.note(f"{title}  starting")
        before = said = time.monotonic()
        took = {True: [], False: []}  # seconds of the epochs here with and without altered data: they cost differently

        def show(logs):
            nonlocal before, said
            epoch, now = logs["epoch"], time.monotonic()
            if epoch > 1 and not any(took.values()):  # a trial may go on where another process left it
                self.say(f"{title}  goes on after epoch {epoch - 1}/{epochs}")
            took[logs["simplifying"]].append(now - before)
            before, altered = now, max(0, min(trial.simplification_epochs, epochs) - max(epoch, first - 1))
            left = altered * _of_one(took, True, share) + (epochs - epoch - altered) * _of_one(took, False, share)
            weight = f", \u03b7 {logs['eta']:.4g}" if "eta" in logs else ""
            phase = f"simplified{weight}" if logs["simplifying"] else "classic"
            train = f"train {logs['error']:.2f} %  "
            outcome = f"valid {logs['val_error']:.2f} %  {_clock(left)} left"
            in_all = f", {_clock(left + more)} in all" if (more := self._seconds_to_come()) else ""
            whole = f"epoch {epoch}/{epochs}  {phase}  {train}{outcome}{in_all}"
            if self.live:
                of = f"{epoch}/{epochs}  "
                shorter = (f"{of}{phase}  {outcome}{in_all}", f"{of}{outcome}{in_all}", f"{of}{outcome}")
                self.note(_fitting(title, (whole, *shorter), self.console.width))
            elif epoch in {round(epochs * quarter / 4) for quarter in (1, 2, 3)} or now - said > _OFTEN:
                self.say(f"{title}  {whole}")
                said = now

        return show

    def finished(self, trial, result, announced=True):
        """Prints the line of a finished trial, one that `trial` began if it is announced."""
        if not announced:
            self._begin(trial)
        self.took.setdefault(trial.cost_key, []).append(result["seconds"])
        self._outcome(trial, result, _clock(result["seconds"]))

    def finished_before(self, trial, result):
        """Prints the line of a trial that is not run again."""
        self._begin(trial)
        self.took.setdefault(trial.cost_key, []).append(result["seconds"])
        self._outcome(trial, result, "finished before")

    def _outcome(self, trial, result, end):
        """Prints what a trial gave; on a narrow terminal without what the table has too."""
        test, valid = f"test error {result['test_error']:.2f} %", f"valid {result['valid_error']:.2f} %"
        best = f"best epoch {result['best_epoch']}/{result['epochs']}"
        lines = ["  ".join((self._title(trial), *of, end)) for of in ((test, valid, best), (test, best), (test,))]
        width = self.console.width if self.live else math.inf
        self.say(next((line for line in lines if len(line) <= width), lines[-1]))

    def _begin(self, trial):
        self.number += 1
        if trial.cost_key in self.coming:
            self.coming.remove(trial.cost_key)

    def _seconds_to_come(self):
        """What the trials to come will take; 0 where that is not known.

        Known is what those of their kind took that are done, else what was expected, as far off as it was of others.
        """
        took = {kind: statistics.mean(seconds) for kind, seconds in self.took.items()}
        off = [seconds / self.expected[kind] for kind, seconds in took.items() if kind in self.expected]
        known = {kind: seconds * statistics.mean(off or [1]) for kind, seconds in self.expected.items()} | took
        return sum(known[kind] for kind in self.coming) if known.keys() >= set(self.coming) else 0

    def _title(self, trial):
        return f"[{self.number}/{self.total}] {trial_title(trial)}"


def _of_one(took, altered, share):
    """Seconds of an epoch to come, by those of `took`; a single classic one, which compiled too, may have been long."""
    own, others = took[altered], took[not altered]
    if altered:
        return own[-1] if own else others[-1] / (share if len(others) > 1 else 1)
    by_others = [seconds * share for seconds in others[-1:]]
    return min(own + by_others) if len(own) == 1 else (own or by_others)[-1]


def _narrower(table, width):
    """A Markdown table without the columns of `_LEFT_OUT` that do not fit; any other text as it is."""
    lines = table.splitlines()
    if not table.startswith("|") or len(lines[0]) <= width:
        return table
    head, _, *rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    left_out = []
    for pattern in _LEFT_OUT:
        for i in [i for i, title in enumerate(head) if re.fullmatch(pattern, title)]:
            if len(table.partition("\n")[0]) > width:
                left_out.append(head[i])
                head, *rows = [row[:i] + row[i + 1 :] for row in (head, *rows)]
                table = markdown(head, rows)
    return f"{table}\nnot shown for want of room: {', '.join(left_out)}" if left_out else table


def _fitting(title, texts, width):
    """A line of a title and the first of some texts that leaves room for most of it; what is too long of it is cut."""
    least = min(len(title), 24)
    text = next((text for text in texts if least + 2 + len(text) <= width), texts[-1])
    room = max(width - len(text) - 2, 1)
    return f"{title if len(title) <= room else f'{title[: room - 1]}…'}  {text}"


def _clock(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
