"""A process for tests: it says something and ends, or starts another and goes on."""

import subprocess
import sys
import time

if __name__ == "__main__":
    if sys.argv[1] == "say":
        print(sys.argv[2], flush=True)
    else:
        sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print(sleeper.pid, flush=True)
        time.sleep(60)
