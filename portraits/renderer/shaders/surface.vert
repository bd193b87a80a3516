#version 330
// One corner of a mesh. aux: ambient occlusion, and the position before posing (the "rest").
uniform mat4 view_projection;
uniform mat4 light_projection;
in vec3 position;
in vec3 normal;
in vec2 uv;
in vec4 aux;
out vec3 P;
out vec3 N;
out vec2 UV;
out float occlusion;
out vec3 rest;
out vec4 in_light;

void main() {
    P = position;
    N = normal;
    UV = uv;
    occlusion = aux.x;
    rest = aux.yzw;
    in_light = light_projection * vec4(position, 1.);
    gl_Position = view_projection * vec4(position, 1.);
}
