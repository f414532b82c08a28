# twistd -ny lgtwist.tac: the checkout's own application file.
import sys
from pathlib import Path

# twistd does not put the checkout on sys.path.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from lgtwist.tap import make_application

application = make_application()
