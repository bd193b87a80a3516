#version 330
// From linear light to what a screen shows: exposure, a soft shoulder, sRGB.
uniform sampler2D texture0;
in vec2 q;
out vec4 result;

void main() {
    vec3 c = texture(texture0, q * .5 + .5).rgb;
    c *= 1.08;
    c = c * (1. + c / 5.) / (1. + c * .62);
    c = clamp(c, 0., 1.);
    vec3 dark = vec3(lessThan(c, vec3(.0031308)));
    result = vec4(mix(1.055 * pow(c, vec3(1. / 2.4)) - .055, 12.92 * c, dark), 1.);
}
