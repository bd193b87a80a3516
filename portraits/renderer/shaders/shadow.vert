#version 330
uniform mat4 light_projection;
in vec3 position;
in vec2 uv;
in vec4 aux;
out vec2 UV;
out vec3 rest;

void main() {
    UV = uv;
    rest = aux.yzw;
    gl_Position = light_projection * vec4(position, 1.);
}
