// Signatures and trampolines, made by the compiler from a kernel's own type: no text is parsed.
//
// The code of an argument is its kind (f, i, u, b: float, signed, unsigned, bool; s: any other)
// and its size in bytes, with x4 behind that of a float4; a pointer's is P (p where it points to const) and the pointee's code.
#pragma once

namespace emulator {

template <typename T>
struct Kind { static constexpr char code = 's'; };
template <> struct Kind<bool> { static constexpr char code = 'b'; };

#define KIND(type, letter) \
  template <> struct Kind<type> { static constexpr char code = letter; };
KIND(float, 'f') KIND(double, 'f')
KIND(char, 'i') KIND(signed char, 'i') KIND(short, 'i') KIND(int, 'i')
KIND(long, 'i') KIND(long long, 'i')
KIND(unsigned char, 'u') KIND(unsigned short, 'u') KIND(unsigned int, 'u')
KIND(unsigned long, 'u') KIND(unsigned long long, 'u')
#undef KIND

// Text in a fixed buffer, since no header of the standard library may come before a kernel.
struct Text {
  char letters[512];
  int length;

  void put(char letter) {
    letters[length++] = letter;
    letters[length] = 0;
  }
  void number(unsigned long value) {
    if (value >= 10) number(value / 10);
    put(char('0' + value % 10));
  }
};

template <typename T>
struct Code {
  static void write(Text& text) {
    text.put(Kind<T>::code);
    text.number(sizeof(T));
  }
};
template <> struct Code<void> {
  static void write(Text& text) { text.put('v'), text.put('1'); }
};
#define VECTOR(type, T, count)                                              \
  template <> struct Code<type> {                                           \
    static void write(Text& text) { Code<T>::write(text), text.put('x'), text.put(count); } \
  };
VECTOR(float2, float, '2') VECTOR(float3, float, '3') VECTOR(float4, float, '4')
VECTOR(double2, double, '2') VECTOR(int2, int, '2') VECTOR(int3, int, '3') VECTOR(int4, int, '4')
VECTOR(uint2, unsigned, '2') VECTOR(uint4, unsigned, '4')
VECTOR(char2, signed char, '2') VECTOR(char4, signed char, '4')
VECTOR(uchar2, unsigned char, '2') VECTOR(uchar4, unsigned char, '4')
#undef VECTOR
template <typename T> struct Code<T*> {
  static void write(Text& text) { text.put('P'), Code<T>::write(text); }
};
template <typename T> struct Code<const T*> {
  static void write(Text& text) { text.put('p'), Code<T>::write(text); }
};

template <int... i> struct Sequence {};
template <int n, int... i> struct Count : Count<n - 1, n - 1, i...> {};
template <int... i> struct Count<0, i...> { typedef Sequence<i...> type; };

template <typename T> struct Plain { typedef T type; };
template <typename T> struct Plain<const T> { typedef T type; };

template <auto kernel> struct Describe;
template <typename... Arguments, void (*kernel)(Arguments...)>
struct Describe<kernel> {
  template <int... i>
  __attribute__((noinline, no_sanitize("thread", "undefined")))
  static void unpack(void** arguments, Sequence<i...>) {
    kernel(*static_cast<typename Plain<Arguments>::type*>(arguments[i])...);
  }
  static void call(void** arguments) {
    unpack(arguments, typename Count<sizeof...(Arguments)>::type());
  }
  static const char* signature() {
    static Text text;
    text.length = 0;
    ((Code<typename Plain<Arguments>::type>::write(text), text.put(',')), ...);
    if (text.length) text.letters[text.length - 1] = 0;
    return text.letters;
  }
  static Kernel entry(const char* name) { return {name, signature(), call}; }
};

}  // namespace emulator
