"""Print digests of masks and genes: ``python tests/real/benchmark_golden.py > tests/real/benchmark.json``."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

if __name__ == "__main__":
    import protocol

    names = sys.argv[1:] or list(protocol.ALL_SECTIONS)
    sys.stdout.write(json.dumps({name: protocol.digests(name) for name in names}, indent=2) + "\n")
