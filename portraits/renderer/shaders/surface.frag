#version 330
// All materials. One program is compiled for each, with MATERIAL defined as its number, because a
// software renderer would run every branch of a general one. The numbers are in gl.py.
#define SKIN 0
#define EYE 1
#define HAIR 2
#define CLOTH 3
#define PLAIN 4
#define MOUTH 5
#define BROW 6
#define LENS 7
#define KNIT 8
#define CURLS 9

uniform sampler2D texture0, texture1, texture2, texture3;  // skin mixes four
uniform sampler2D wrinkles, shadow, masks;                 // masks: lips, lids, scalp
uniform vec4 mixture;         // of the four skin textures
uniform vec3 gain;            // from the mean skin to this one
uniform float old, scalp, lips, beard;
uniform vec3 mouth;           // its place before posing
uniform float head_scale;
uniform vec3 lip_colour, colour;
uniform vec3 eye, head_centre;
uniform vec3 light, light_colour, fill, fill_colour, sky, ground;
uniform vec4 clip;            // plane before posing; above it hair is cut off for a hat
uniform vec4 trim;            // half width, height, depth, on: strands in front of the eyes go
uniform float cut, gloss, mean_luminance, volume, dyed;
uniform int second_pass;      // 0: what is opaque; 1: what is translucent
uniform float grain;          // seed of the noise
uniform float part;           // for label pictures
in vec3 P;
in vec3 N;
in vec2 UV;
in float occlusion;
in vec3 rest;
in vec4 in_light;
out vec4 result;

float random(vec3 p) {
    return fract(sin(dot(p, vec3(12.9898, 78.233, 37.719)) + grain) * 43758.5453);
}

float noise(vec3 p) {
    vec3 i = floor(p), f = fract(p);
    f = f * f * (3. - 2. * f);
    return mix(mix(mix(random(i), random(i + vec3(1, 0, 0)), f.x),
                   mix(random(i + vec3(0, 1, 0)), random(i + vec3(1, 1, 0)), f.x), f.y),
               mix(mix(random(i + vec3(0, 0, 1)), random(i + vec3(1, 0, 1)), f.x),
                   mix(random(i + vec3(0, 1, 1)), random(i + vec3(1, 1, 1)), f.x), f.y), f.z);
}

// Share of the main light that arrives: nine samples of the shadow map.
float lit_share() {
    vec3 s = in_light.xyz * .5 + .5;
    if (any(lessThan(s, vec3(0))) || any(greaterThan(s, vec3(1)))) return 1.;
    float sum = 0.;
    vec2 texel = 1. / vec2(textureSize(shadow, 0));
    for (int i = -1; i <= 1; i++)
        for (int j = -1; j <= 1; j++) {
            float d = texture(shadow, s.xy + vec2(i, j) * 1.4 * texel).r;
            sum += s.z - .012 > d ? 0. : 1.;
        }
    return sum / 9.;
}

float luminance(vec3 c) { return dot(c, vec3(.3, .6, .1)); }

void main() {
#if MATERIAL != SKIN
    if (dot(rest, clip.xyz) + clip.w > 0.) discard;
#endif
#if MATERIAL == HAIR
    if (trim.w > 0. && rest.z > trim.z
        && rest.y < trim.y + .06 * sin(rest.x * 9.) + .05 * sin(rest.x * 31.)
                    - .30 * smoothstep(trim.x * .75, trim.x * 1.15, abs(rest.x))
        && abs(rest.x) < trim.x * 1.25) discard;
#endif
    vec3 V = normalize(eye - P);
    vec3 n = normalize(N);
#if MATERIAL != SKIN
    if (dot(n, V) < 0.) n = -n;
#endif
    vec3 albedo;
    float alpha = 1., specular = .25, hardness = 20., wrap = .0;
    vec3 scatter = vec3(0);

#if MATERIAL == SKIN
    vec3 c = texture(texture0, UV).rgb * mixture.x + texture(texture1, UV).rgb * mixture.y
           + texture(texture2, UV).rgb * mixture.z + texture(texture3, UV).rgb * mixture.w;
    c = pow(c, vec3(2.2));
    float w = texture(wrinkles, UV).r * 2.;
    c *= mix(1., w, old);
    vec4 m = texture(masks, UV);
    c *= gain;
    c = mix(c, c * lip_colour * 1.0, m.r * lips);
    c = mix(c, colour * .6 + c * .08, m.b * scalp);
    // a beard: below a line from the ears over the upper lip, not on the lips
    vec3 q = (rest - mouth) / head_scale;
    float aside = abs(q.x);
    float top = mix(.19, -.04, smoothstep(.20, .34, aside)) + .55 * smoothstep(.46, .66, aside);
    float hairs = (1. - smoothstep(top - .06, top + .04, q.y)) * smoothstep(-.80, -.50, q.y)
                * smoothstep(-1.35, -1.1, q.z) * (1. - smoothstep(.25, .55, m.r));
    hairs *= beard * (.80 + .30 * noise(rest * vec3(60., 30., 60.)));
    c = mix(c, colour * .40 + c * .10, clamp(hairs, 0., 1.) * .92);
    albedo = c;
    specular = .35 * (1. - .4 * old);
    hardness = 18.;
    wrap = .28;
    scatter = vec3(.5, .12, .05);
#elif MATERIAL == EYE
    vec4 t = texture(texture0, UV);
    albedo = pow(t.rgb, vec3(2.2));
    albedo = mix(vec3(luminance(albedo)), albedo, .8) * colour;
    specular = 1.6;
    hardness = 90.;
    wrap = .3;
#elif MATERIAL == HAIR
    vec4 t = texture(texture0, UV);
    alpha = t.a;
    float l = luminance(pow(t.rgb, vec3(2.2))) / mean_luminance;
    l = pow(clamp(l, 0., 4.), .75);
    float strands = .72 + .56 * noise(vec3(UV * vec2(420., 60.), 1.));
    albedo = colour * mix(.3, 1., clamp(l, 0., 2.)) * strands;
    n = normalize(mix(n, normalize(P - head_centre), volume));
    specular = gloss;
    hardness = 14.;
    wrap = .25;
#elif MATERIAL == CLOTH
    vec4 t = texture(texture0, UV);
    alpha = t.a;
    albedo = pow(t.rgb, vec3(2.2));
    albedo = mix(albedo, colour * (.25 + 1.5 * luminance(albedo)), dyed);
    specular = .03;
    wrap = .15;
#elif MATERIAL == PLAIN
    albedo = colour;
    specular = gloss;
    hardness = 40.;
    wrap = .1;
#elif MATERIAL == MOUTH
    albedo = pow(texture(texture0, UV).rgb, vec3(2.2)) * colour;
    specular = .4;
    wrap = .3;
#elif MATERIAL == BROW
    alpha = texture(texture0, UV).a * gloss;
    albedo = colour;
    specular = .02;
    wrap = .3;
#elif MATERIAL == LENS
    albedo = colour;
    alpha = gloss;
    specular = 1.2;
    hardness = 60.;
#elif MATERIAL == CURLS
    float f = noise(rest * 26.) * .6 + noise(rest * 55.) * .4;
    alpha = f > gloss * .75 + .05 ? 1. : 0.;
    albedo = colour * (.45 + .75 * gloss) * (.6 + .8 * f);
    n = normalize(mix(n, normalize(P - head_centre), .5));
    specular = .12;
    wrap = .3;
#else  // KNIT
    float k = .8 + .35 * noise(rest * vec3(14., 30., 14.));
    albedo = colour * k;
    specular = .02;
    wrap = .2;
#endif

#if MATERIAL != SKIN  // skin discards nothing, so that its depth is tested first
    if (second_pass == 0) {
        if (alpha < cut) discard;
    } else {
        if (alpha >= cut || alpha < .03) discard;
    }
#endif
    float lit = lit_share();
    float nl = dot(n, light);
    float d = clamp((nl + wrap) / (1. + wrap), 0., 1.);
    float share = mix(lit, 1., .06);
    vec3 diffuse = light_colour * d * share;
    diffuse += light_colour * scatter * smoothstep(-.45, .15, nl) * (1. - smoothstep(.1, .7, nl))
             * .35 * mix(lit, 1., .5);
    vec3 ambient = mix(ground, sky, n.y * .5 + .5) * occlusion
                 + fill_colour * clamp(dot(n, fill) * .6 + .4, 0., 1.) * occlusion;
    vec3 H = normalize(light + V);
    float fresnel = .04 + .96 * pow(1. - clamp(dot(V, H), 0., 1.), 5.);
    float highlight = specular * (hardness + 8.) / 25. * pow(clamp(dot(n, H), 0., 1.), hardness)
                    * fresnel * 6. * share * step(0., nl);
    float rim = pow(1. - clamp(dot(n, V), 0., 1.), 4.) * .045 * occlusion;
    vec3 light_out = albedo * (diffuse + ambient) + light_colour * highlight * occlusion
                   + sky * rim * (MATERIAL == SKIN ? 1. : .4);
#ifdef LABELS
    // which part, and where on the neutral head (the renderer passes that as the rest position)
    if (second_pass == 1 && MATERIAL != LENS) discard;
    result = vec4(rest, part + light_out.r * 1e-9);
#else
    result = vec4(light_out, second_pass == 0 ? 1. : alpha);
#endif
}
