#version 330
// A gradient with soft clouds, darker towards the corners.
uniform vec3 first, second;
uniform vec2 direction;
uniform float clouds, grain;
in vec2 q;
out vec4 result;

float random(vec2 p) { return fract(sin(dot(p, vec2(12.9898, 78.233)) + grain) * 43758.5453); }

float noise(vec2 p) {
    vec2 i = floor(p), f = fract(p);
    f = f * f * (3. - 2. * f);
    return mix(mix(random(i), random(i + vec2(1, 0)), f.x),
               mix(random(i + vec2(0, 1)), random(i + vec2(1, 1)), f.x), f.y);
}

void main() {
    float t = .5 + .5 * dot(q, direction);
    float n = noise(q * 1.3 + grain) * .65 + noise(q * 3.1 + grain * 2.) * .35;
    vec3 c = mix(first, second, clamp(t, 0., 1.));
    c *= 1. + clouds * (n - .5) * 2.;
    c *= 1. - .10 * dot(q, q);
    result = vec4(c, 1.);
}
