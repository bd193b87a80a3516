"""moderngl (EGL / llvmpipe) portrait renderer for facemodel.Head."""
import os
os.environ.setdefault('LIBGL_ALWAYS_SOFTWARE', '1')
os.environ.setdefault('LP_NUM_THREADS', '1')
import numpy as np, moderngl
from PIL import Image
from facemodel import *

VS = '''#version 330
uniform mat4 VP; uniform mat4 LP;
in vec3 pos; in vec3 nrm; in vec2 uv; in vec4 aux;   // aux: ao, rest xyz
out vec3 P; out vec3 N; out vec2 UV; out vec4 A; out vec4 LS;
void main(){ P=pos; N=nrm; UV=uv; A=aux; LS=LP*vec4(pos,1.); gl_Position=VP*vec4(pos,1.); }'''
FS = '''#version 330
const int kind = KIND;             // 0 skin 1 eye 2 hair card 3 cloth tex 4 flat 5 teeth/tongue 6 brow/lash 7 lens 8 knit
uniform sampler2D t0,t1,t2,t3,tw,shadow;
uniform vec4 mixw; uniform vec3 gain; uniform float old; uniform vec3 col; uniform vec3 col2; uniform float scalp;
uniform float lips; uniform float beard; uniform vec3 mouth; uniform float bsc; uniform vec3 lipcol;
uniform vec3 eye; uniform vec3 L; uniform vec3 Lcol; uniform vec3 sky; uniform vec3 ground; uniform vec3 F; uniform vec3 Fcol;
uniform vec3 headc; uniform float volnorm; uniform vec4 clip0; uniform float cut; uniform int pass_; uniform float gloss; uniform float meanlum;
uniform sampler2D masks; uniform float seed; uniform vec4 trim;
in vec3 P; in vec3 N; in vec2 UV; in vec4 A; in vec4 LS;
out vec4 o;
float h1(vec3 p){ return fract(sin(dot(p,vec3(12.9898,78.233,37.719))+seed)*43758.5453); }
float vn(vec3 p){ vec3 i=floor(p),f=fract(p); f=f*f*(3.-2.*f);
 return mix(mix(mix(h1(i),h1(i+vec3(1,0,0)),f.x),mix(h1(i+vec3(0,1,0)),h1(i+vec3(1,1,0)),f.x),f.y),
            mix(mix(h1(i+vec3(0,0,1)),h1(i+vec3(1,0,1)),f.x),mix(h1(i+vec3(0,1,1)),h1(i+vec3(1,1,1)),f.x),f.y),f.z); }
float shade(){
  vec3 s=LS.xyz*.5+.5; if(any(lessThan(s,vec3(0)))||any(greaterThan(s,vec3(1)))) return 1.;
  float a=0.; vec2 px=1./vec2(textureSize(shadow,0));
  for(int i=-1;i<=1;i++)for(int j=-1;j<=1;j++){ float d=texture(shadow,s.xy+vec2(i,j)*1.4*px).r; a+= s.z-.012>d?0.:1.; }
  return a/9.; }
void main(){
  if(kind!=0 && dot(A.yzw,clip0.xyz)+clip0.w>0.) discard;
  if(kind==2 && trim.w>0. && A.w>trim.z && A.z<trim.y+.06*sin(A.y*9.)+.05*sin(A.y*31.)-.30*smoothstep(trim.x*.75,trim.x*1.15,abs(A.y)) && abs(A.y)<trim.x*1.25) discard;
  vec3 V=normalize(eye-P); vec3 n=normalize(N); if(dot(n,V)<0. && kind!=0) n=-n;
  vec3 alb; float al=1.; float spec=.25, pw=20.; float wrap=.0; vec3 sss=vec3(0);
  if(kind==0){
    vec3 c=texture(t0,UV).rgb*mixw.x+texture(t1,UV).rgb*mixw.y+texture(t2,UV).rgb*mixw.z+texture(t3,UV).rgb*mixw.w;
    c=pow(c,vec3(2.2));
    float w=texture(tw,UV).r*2.; c*=mix(1.,w,old);
    vec4 m=texture(masks,UV);
    c*=gain;
    c=mix(c,c*lipcol*1.0,m.r*lips);
    float sc=m.b; c=mix(c,col*.6+c*.08,sc*scalp);
    vec3 q=(A.yzw-mouth)/bsc; float ax=abs(q.x);
    float top=mix(.19,-.04,smoothstep(.20,.34,ax))+.55*smoothstep(.46,.66,ax);
    float br=(1.-smoothstep(top-.06,top+.04,q.y))*smoothstep(-.80,-.50,q.y)*smoothstep(-1.35,-1.1,q.z)*(1.-smoothstep(.25,.55,m.r));
    br*=beard*(.80+.30*vn(A.yzw*vec3(60.,30.,60.)));
    c=mix(c,col*.40+c*.10,clamp(br,0.,1.)*.92);
    alb=c; spec=.35*(1.-.4*old); pw=18.; wrap=.28; sss=vec3(.5,.12,.05);
  } else if(kind==1){ vec4 t=texture(t0,UV); alb=pow(t.rgb,vec3(2.2)); 
    float l=dot(alb,vec3(.3,.6,.1)); alb=mix(vec3(l),alb,.8)*col; spec=1.6; pw=90.; wrap=.3;
  } else if(kind==2){ vec4 t=texture(t0,UV); al=t.a; float l=dot(pow(t.rgb,vec3(2.2)),vec3(.3,.6,.1))/meanlum;
    l=pow(clamp(l,0.,4.),.75); float nz=.72+.56*vn(vec3(UV*vec2(420.,60.),1.)); alb=col*mix(.3,1.,clamp(l,0.,2.))*nz; 
    n=normalize(mix(n,normalize(P-headc),volnorm)); spec=gloss; pw=14.; wrap=.25;
  } else if(kind==3){ vec4 t=texture(t0,UV); al=t.a; alb=pow(t.rgb,vec3(2.2)); float l=dot(alb,vec3(.3,.6,.1)); alb=mix(alb,col*(.25+1.5*l),col2.x); spec=.03; wrap=.15;
  } else if(kind==4){ alb=col; spec=gloss; pw=40.; wrap=.1;
  } else if(kind==5){ vec4 t=texture(t0,UV); al=1.; alb=pow(t.rgb,vec3(2.2))*col; spec=.4; wrap=.3;
  } else if(kind==6){ vec4 t=texture(t0,UV); al=t.a*gloss; alb=col; spec=.02; wrap=.3;
  } else if(kind==7){ alb=col; al=gloss; spec=1.2; pw=60.;
  } else if(kind==9){ float f=vn(A.yzw*26.)*.6+vn(A.yzw*55.)*.4; al=f>gloss*.75+.05?1.:0.; alb=col*(.45+.75*gloss)*(.6+.8*f); n=normalize(mix(n,normalize(P-headc),.5)); spec=.12; wrap=.3;
  } else { float k=.8+.35*vn(A.yzw*vec3(14.,30.,14.)); alb=mix(col,col2,smoothstep(-.02,.02,gloss-A.z))*k; spec=.02; wrap=.2; }
  if(kind!=0){ if(pass_==0){ if(al<cut) discard; } else { if(al>=cut||al<.03) discard; } }   // skin discards nothing, so that depth is tested first
  float sh=shade();
  float nl=dot(n,L); float d=clamp((nl+wrap)/(1.+wrap),0.,1.);
  float lit=mix(sh,1.,.06);
  vec3 kd=Lcol*d*lit;
  kd+=Lcol*sss*smoothstep(-.45,.15,nl)*(1.-smoothstep(.1,.7,nl))*.35*mix(sh,1.,.5);
  float ao=A.x;
  vec3 amb=mix(ground,sky,n.y*.5+.5)*ao + Fcol*clamp(dot(n,F)*.6+.4,0.,1.)*ao;
  vec3 H=normalize(L+V); float fr=.04+.96*pow(1.-clamp(dot(V,H),0.,1.),5.); 
  float sp=spec*(pw+8.)/25.*pow(clamp(dot(n,H),0.,1.),pw)*fr*6.*lit*step(0.,nl);
  float rim=pow(1.-clamp(dot(n,V),0.,1.),4.)*.045*ao;
  vec3 c=alb*(kd+amb)+Lcol*sp*ao+sky*rim*(kind==0?1.:.4);
  o=vec4(c,pass_==0?1.:al);
}'''
SVS = '''#version 330
uniform mat4 LP; in vec3 pos; in vec2 uv; in vec4 aux; out vec2 UV; out vec4 A; void main(){ UV=uv; A=aux; gl_Position=LP*vec4(pos,1.); }'''
SFS = '''#version 330
uniform sampler2D t0; uniform int alpha; uniform vec4 clip0; uniform vec4 trim; in vec2 UV; in vec4 A; void main(){ if(dot(A.yzw,clip0.xyz)+clip0.w>0.) discard; if(alpha==1 && texture(t0,UV).a<.5) discard;
 if(alpha==1 && trim.w>0. && A.w>trim.z && A.z<trim.y+.12 && abs(A.y)<trim.x*1.25) discard; }'''
BVS = '''#version 330
in vec2 pos; out vec2 q; void main(){ q=pos; gl_Position=vec4(pos,.99999,1.); }'''
BFS = '''#version 330
uniform vec3 a; uniform vec3 b; uniform vec2 dir; uniform float amt; uniform float seed; in vec2 q; out vec4 o;
float h(vec2 p){ return fract(sin(dot(p,vec2(12.9898,78.233))+seed)*43758.5453); }
float vn(vec2 p){ vec2 i=floor(p),f=fract(p); f=f*f*(3.-2.*f); return mix(mix(h(i),h(i+vec2(1,0)),f.x),mix(h(i+vec2(0,1)),h(i+vec2(1,1)),f.x),f.y); }
void main(){ float t=.5+.5*dot(q,dir); float n=vn(q*1.3+seed)*.65+vn(q*3.1+seed*2.)*.35; vec3 c=mix(a,b,clamp(t,0.,1.)); c*=1.+amt*(n-.5)*2.; c*=1.-.10*dot(q,q); o=vec4(c,1.); }'''
PVS = BVS
PFS = '''#version 330
uniform sampler2D t0; in vec2 q; out vec4 o;
void main(){ vec3 c=texture(t0,q*.5+.5).rgb; c*=1.08; c=c*(1.+c/5.)/(1.+c*.62); c=clamp(c,0.,1.); o=vec4(mix(1.055*pow(c,vec3(1./2.4))-.055,12.92*c,vec3(lessThan(c,vec3(.0031308)))),1.); }'''


def look(eye, tgt):
    f = tgt - eye; f = f / np.linalg.norm(f); r = np.cross(f, [0, 1, 0]); r /= np.linalg.norm(r); u = np.cross(r, f)
    M = np.eye(4); M[0, :3] = r; M[1, :3] = u; M[2, :3] = -f; M[:3, 3] = -M[:3, :3] @ eye
    return M


class Mesh:
    """GPU buffers of one surface; vertex data rewritten for every image."""
    def __init__(s, R, surf, tex=None):
        s.surf, s.tex = surf, tex
        n = len(surf.vi)
        s.data = np.zeros((n, 12), np.float32); s.data[:, 6:8] = surf.uv; s.data[:, 8] = 1
        s.vbo = R.ctx.buffer(reserve=n * 48)
        s.ibo = R.ctx.buffer(surf.tri.tobytes())
        fmt = [(s.vbo, '3f 3f 2f 4f', 'pos', 'nrm', 'uv', 'aux')]
        s.R, s.fmt, s.vaos = R, fmt, {}
        s.svao = R.ctx.vertex_array(R.sprog, [(s.vbo, '3f 12x 2f 4f', 'pos', 'uv', 'aux')], s.ibo)

    def vao(s, kind):
        if kind not in s.vaos: s.vaos[kind] = s.R.ctx.vertex_array(s.R.progs[kind], s.fmt, s.ibo, skip_errors=True)
        return s.vaos[kind]

    def update(s, v, rest, ao=None):
        vi = s.surf.vi
        s.data[:, :3] = v[vi]; s.data[:, 3:6] = s.surf.normals(v)[vi]; s.data[:, 9:12] = rest[vi]
        s.data[:, 8] = 1 if ao is None else (ao[vi] if np.ndim(ao) else ao)
        s.vbo.write(s.data)


class Renderer:
    def __init__(s, size=256, shadow=384, texsize=1024):
        s.ctx = moderngl.create_context(standalone=True, backend='egl', require=330)
        c = s.ctx; s.size = size
        # one program a material: a software renderer executes every branch of a general one
        s.progs = {k: c.program(vertex_shader=VS, fragment_shader=FS.replace('KIND', str(k))) for k in range(10)}; s.sprog = c.program(vertex_shader=SVS, fragment_shader=SFS)
        s.bprog = c.program(vertex_shader=BVS, fragment_shader=BFS); s.pprog = c.program(vertex_shader=PVS, fragment_shader=PFS)
        q = c.buffer(np.array([-1, -1, 3, -1, -1, 3], np.float32).tobytes())
        s.bvao = c.vertex_array(s.bprog, [(q, '2f', 'pos')]); s.pvao = c.vertex_array(s.pprog, [(q, '2f', 'pos')])
        s.set_size(size)
        s.sdepth = c.depth_texture((shadow, shadow)); s.sdepth.compare_func = ''; s.sdepth.filter = (moderngl.LINEAR, moderngl.LINEAR); s.sfbo = c.framebuffer(depth_attachment=s.sdepth)
        s.texsize = texsize; s.cache = {}
        s.white = s.tex_array(np.full((4, 4, 4), 255, np.uint8))

    def set_size(s, size):
        c = s.ctx; s.size = size
        s.col = c.texture((size, size), 4, dtype='f2'); s.dep = c.depth_renderbuffer((size, size)); s.fbo = c.framebuffer([s.col], s.dep)
        s.out = c.texture((size, size), 3); s.ofbo = c.framebuffer([s.out])

    def tex_array(s, a):
        t = s.ctx.texture(a.shape[1::-1], a.shape[2], np.ascontiguousarray(a[::-1]).tobytes())
        t.build_mipmaps(); t.filter = (moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR); t.repeat_x = t.repeat_y = True
        return t

    def tex(s, path, size=None, fix=None):
        k = (path, size)
        if k not in s.cache:
            im = Image.open(path).convert('RGBA'); z = size or s.texsize
            im = im.resize((min(z, im.size[0]),) * 2, Image.LANCZOS); a = np.array(im)
            if fix: a = fix(a)
            if a[..., 3].min() < 200 and a[..., 3].max() > 0:
                from scipy.ndimage import gaussian_filter as gf
                m = (a[..., 3] > 100).astype(np.float32); d = gf(m, 12) + 1e-3; mean = a[m > 0][:, :3].mean(0) if m.any() else 0
                for k_ in range(3): f_ = (gf(a[..., k_] * m, 12) + mean[k_] * 1e-3 if m.any() else 0) / d; a[..., k_] = np.where(m > 0, a[..., k_], np.clip(f_, 0, 255))
            s.cache[k] = (s.tex_array(a), a)
        return s.cache[k][0]

    def u(s, kind=None, **kw):
        for P in s.progs.values() if kind is None else (s.progs[kind],):
            for k, v in kw.items():
                if k in P: P[k].value = tuple(np.asarray(v, float)) if np.ndim(v) else v

    def ao_bake(s, verts, nrm, meshes, centre, ndir=96, size=512):
        """Mean visibility of every vertex over the directions of its hemisphere (depth maps)."""
        rng = np.random.default_rng(0); z = rng.normal(size=(ndir, 3)); z /= np.linalg.norm(z, axis=1, keepdims=True)
        d = s.ctx.depth_texture((size, size)); d.compare_func = ''; f = s.ctx.framebuffer(depth_attachment=d)
        num = np.zeros(len(verts)); den = np.zeros(len(verts)) + 1e-6
        for l in z:
            LP = s.light_matrix(l, centre, 3.2)
            f.use(); f.clear(depth=1.); s.ctx.enable(moderngl.DEPTH_TEST)
            s.sprog['LP'].write(LP.T.astype('f4').tobytes()); s.sprog['alpha'].value = 0; s.sprog['clip0'].value = (0, 0, 0, -1)
            for m in meshes: m.svao.render()
            D = np.frombuffer(d.read(), np.float32).reshape(size, size)
            q = np.c_[verts + nrm * .015, np.ones(len(verts))] @ LP.T; xy = ((q[:, :2] * .5 + .5) * size).astype(int).clip(0, size - 1)
            vis = (q[:, 2] * .5 + .5) - .004 < D[xy[:, 1], xy[:, 0]]
            w = np.clip(nrm @ l, 0, 1); num += w * vis; den += w
        return (num / den).astype(np.float32)

    @staticmethod
    def light_matrix(l, centre, r):
        l = np.asarray(l, float); up = [0, 0, 1] if abs(l[1]) > .95 else [0, 1, 0]
        f = -l; x = np.cross(f, up); x /= np.linalg.norm(x); y = np.cross(x, f)
        V = np.eye(4); V[0, :3] = x; V[1, :3] = y; V[2, :3] = -f; V[:3, 3] = -V[:3, :3] @ centre
        O = np.diag([1 / r, 1 / r, -1 / (r * 1.6), 1.])
        return O @ V
