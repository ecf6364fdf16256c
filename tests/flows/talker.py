"""A process for tests: it says something, or much, and ends, or starts another and goes on."""

import subprocess
import sys
import time

if __name__ == "__main__":
    if sys.argv[1] == "say":
        print(sys.argv[2], flush=True)
    elif sys.argv[1] == "chat":
        for number in range(int(sys.argv[2])):
            print(f"line {number:>10}", flush=True)
    else:
        sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print(sleeper.pid, flush=True)
        time.sleep(60)
