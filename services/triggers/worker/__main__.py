"""python -m services.triggers.worker"""

from services.triggers.worker.main import main_and_exit

main_and_exit()
