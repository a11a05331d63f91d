"""What a person sees while trials run: one live line per trial on a terminal, a line now and then elsewhere."""

import time

from rich.console import Console
from rich.live import Live
from rich.text import Text

from nft_keras.experiments.methods import method_title

_OFTEN = 60  # seconds


class Screen:
    """Shows the progress of trials on standard output's terminal, or quiet lines where there is none.

    Args:
        trials: the trials to come.
    """

    def __init__(self, trials):
        self.number, self.total = 0, len(trials)
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
        console.print(Text(text))

    def note(self, text):
        """Shows a passing line; nothing where there is no terminal."""
        if self.live:
            self.live.update(Text(text), refresh=True)

    def trial(self, trial):
        """Begins a trial; returns the function that is called with the logs of each epoch."""
        self.number += 1
        epochs = trial.training.epochs
        title = self._title(trial)
        self.note(f"{title}  starting")
        before = said = time.monotonic()
        latest = {}  # seconds of the last epoch with and without altered data here: they cost differently

        def show(logs):
            nonlocal before, said
            epoch, now = logs["epoch"], time.monotonic()
            if epoch > 1 and not latest:  # a trial may go on where another process left it
                self.say(f"{title}  goes on after epoch {epoch - 1}/{epochs}")
            latest[logs["simplifying"]] = now - before
            altered = max(0, min(trial.simplification_epochs, epochs) - epoch)
            left = {True: altered, False: epochs - epoch - altered}
            left = sum(count * latest.get(phase, now - before) for phase, count in left.items())
            before = now
            eta = f", eta {logs['eta']:.4g}" if "eta" in logs else ""
            phase = f"simplified{eta}" if logs["simplifying"] else "classic"
            line = (
                f"{title}  epoch {epoch}/{epochs}  {phase}  error {logs['error']:.2f} %  "
                f"valid {logs['val_error']:.2f} %  {_clock(left)} left"
            )
            if self.live:
                self.note(line)
            elif epoch in {round(epochs * quarter / 4) for quarter in (1, 2, 3)} or now - said > _OFTEN:
                self.say(line)
                said = now

        return show

    def finished(self, trial, result, announced=True):
        """Prints the line of a finished trial, one that `trial` began if it is announced."""
        self.number += not announced
        self.say(f"{self._title(trial)}  {_outcome(result)}  {_clock(result['seconds'])}")

    def finished_before(self, trial, result):
        """Prints the line of a trial that is not run again."""
        self.number += 1
        self.say(f"{self._title(trial)}  {_outcome(result)}  finished before")

    def _title(self, trial):
        varied = f" {trial.variation}" if trial.varied else ""
        return f"[{self.number}/{self.total}] {trial.classifier} {method_title(trial.method)}{varied} seed {trial.seed}"


def _outcome(result):
    return (
        f"test error {result['test_error']:.2f} %  valid {result['valid_error']:.2f} %  "
        f"best epoch {result['best_epoch']}/{result['epochs']}"
    )


def _clock(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
