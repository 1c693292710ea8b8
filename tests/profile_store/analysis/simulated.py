"""Customers drawn from the models themselves."""

from random import Random

from services.contracts.models import BgNbd, GammaGamma
from services.profile_store.analysis.bgnbd import History
from services.profile_store.analysis.gamma_gamma import Spending

MODEL = BgNbd(r=0.7, alpha=40.0, a=0.8, b=2.5)
VALUES = GammaGamma(p=6.0, q=4.0, v=15.0)


def histories(people: int, seed: int = 1, model: BgNbd = MODEL, days: int = 400) -> list[History]:
    """Histories of people who came at any time within `days`."""
    random = Random(seed)
    drawn: list[History] = []
    for _ in range(people):
        rate = random.gammavariate(model.r, 1 / model.alpha)
        leaves = random.betavariate(model.a, model.b)
        age, at, x = float(random.randrange(30, days)), 0.0, 0
        while rate > 0:
            after = random.expovariate(rate)
            if at + after > age:
                break
            at, x = at + after, x + 1
            if random.random() < leaves:
                break
        drawn.append((x, float(int(at)), age))
    return drawn


def spendings(people: int, seed: int = 1, model: GammaGamma = VALUES) -> list[Spending]:
    """Numbers of orders, drawn without regard to the model, and their mean values by it."""
    random = Random(seed)
    drawn: list[Spending] = []
    for _ in range(people):
        nu = random.gammavariate(model.q, 1 / model.v)
        x = 1 + min(20, int(random.expovariate(0.4)))
        drawn.append((x, random.gammavariate(model.p * x, 1 / (nu * x))))
    return drawn
