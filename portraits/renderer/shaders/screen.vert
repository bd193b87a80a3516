#version 330
in vec2 position;
out vec2 q;

void main() {
    q = position;
    gl_Position = vec4(position, .99999, 1.);
}
