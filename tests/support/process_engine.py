"""A scheduler for tests: every cell is a real process, as a scheduler's job would be."""

from image_sweeps.launch.remote import Over, Running, Waiting
from tests.support import warm


class Processes:
    """Runs up to `num_machines` cells at a time, each as `python -m MODULE FOLDER`, the others wait.

    Args:
        cold: whether these processes share nothing with others.

    Attributes:
        events: what it was told, in order.
    """

    def __init__(self, num_machines=2, num_slots=None, module="tests.support.train_scheduled_cell", cold=False):
        self.num_machines, self.num_slots, self.module, self.cold = num_machines, num_slots, module, cold
        self.queue, self.processes, self.events = [], {}, []

    def start(self, folders):
        self.events.append(("start", len(folders)))
        self.queue += folders
        self._fill()

    def state(self, folder):
        self._fill()
        if folder in self.queue:
            return Waiting()
        if folder not in self.processes:
            return Over("taken back")
        code = self.processes[folder].poll()
        return Running(f"machine {list(self.processes).index(folder)}") if code is None else Over(f"exit code {code}")

    def stop(self, folder):
        self.events.append(("stop", folder))
        if folder in self.queue:
            self.queue.remove(folder)
        else:
            self.processes[folder].terminate()

    def kill(self, folder):
        self.events.append(("kill", folder))
        if folder in self.processes:
            self.processes[folder].kill()

    def requeue(self, folder):
        """As a scheduler does that needs the machine for something else."""
        with self.processes[folder] as process:
            process.terminate()
        del self.processes[folder]
        self.queue.append(folder)

    def close(self):
        self.events.append(("close", None))
        for process in self.processes.values():
            with process:
                process.kill()

    def _fill(self):
        running = sum(process.poll() is None for process in self.processes.values())
        for folder in self.queue[: max(0, self.num_machines - running)]:
            self.queue.remove(folder)
            self.processes[folder] = warm.start(folder, module=self.module, cold=self.cold)
