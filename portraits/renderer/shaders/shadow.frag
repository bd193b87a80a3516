#version 330
uniform sampler2D texture0;
uniform int is_hair;
uniform vec4 clip;
uniform vec4 trim;
in vec2 UV;
in vec3 rest;

void main() {
    if (dot(rest, clip.xyz) + clip.w > 0.) discard;
    if (is_hair == 1 && texture(texture0, UV).a < .5) discard;
    if (is_hair == 1 && trim.w > 0. && rest.z > trim.z && rest.y < trim.y + .12
        && abs(rest.x) < trim.x * 1.25) discard;
}
