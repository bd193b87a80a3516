"""Render shards of 500 portraits: python shards.py SEED FIRST LAST PREFIX (resumable, one core)."""
from portraits import *

seed, first, last, prefix = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
studio, start, count = Studio(192), time.time(), 0
for k in range(first, last, 500):
    path = f'{prefix}_{k:06d}.npz'
    if os.path.exists(path): continue
    n = min(500, last - k)
    X, Y = np.zeros((n, 64, 64, 3), np.uint8), np.zeros((n, len(LABELS)), np.float32)
    for i in range(n):
        p = sample(np.random.default_rng([seed, k + i]), studio.h.names)   # one seed a portrait
        X[i] = studio.render(p, 64); Y[i] = labels(p); count += 1
    np.savez(path + '.part.npz', images=X, labels=Y); os.rename(path + '.part.npz', path)
    print(k, round((time.time() - start) / count * 1000, 1), 'ms', flush=True)
