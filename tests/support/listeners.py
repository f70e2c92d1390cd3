"""Listeners to cells: one that remembers what it is told, and one for cells that must not fail."""

from image_sweeps.cell.listener import CellListener


class Remembering(CellListener):
    """Remembers what it is told."""

    def __init__(self):
        self.places = []
        self.epochs = []
        self.failures = {}
        self.notices = []
        self.ended = []

    def on_process_start(self, cell, where):
        self.places.append((cell.name, where))

    def on_epoch_end(self, cell, epoch):
        self.epochs.append((cell.name, epoch.number))

    def on_failure(self, cell, text):
        self.failures[cell.name] = text

    def on_cell_end(self, result):
        self.ended.append(result.name)

    def on_notice(self, text):
        self.notices.append(text)


class Unfailing(CellListener):
    """Lets no failure and no notice pass."""

    def on_failure(self, cell, text):
        raise AssertionError(text)

    def on_notice(self, text):
        raise AssertionError(text)
