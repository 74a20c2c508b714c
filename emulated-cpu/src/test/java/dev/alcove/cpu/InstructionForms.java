// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import java.util.ArrayList;
import java.util.List;

/** Instruction forms for {@link NativeComparisonTest}, in the syntax of the GNU assembler. */
final class InstructionForms {
    /**
     * One form.
     *
     * @param text instructions; may use RAX, RBX, RCX, RDX, RSI, R8, R9, RDI as address of 64 bytes, and the stack
     * @param undefined flags that the manual leaves undefined
     */
    record Form(String text, int undefined) {}

    private static final int CF = Flags.CF;
    private static final int PF = Flags.PF;
    private static final int AF = Flags.AF;
    private static final int ZF = Flags.ZF;
    private static final int SF = Flags.SF;
    private static final int OF = Flags.OF;

    private static final String[] SUFFIX = {"b", "w", "l", "q"};
    private static final String[] A = {"%al", "%ax", "%eax", "%rax"};
    private static final String[] B = {"%bl", "%bx", "%ebx", "%rbx"};
    private static final String[] D = {"%dl", "%dx", "%edx", "%rdx"};
    private static final String[] R8 = {"%r8b", "%r8w", "%r8d", "%r8"};
    private static final String[] R9 = {"%r9b", "%r9w", "%r9d", "%r9"};
    private static final String[] SI = {"%sil", "%si", "%esi", "%rsi"};
    private static final String[] CONDITIONS = {
        "o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g"
    };

    private final List<Form> forms = new ArrayList<>();

    static List<Form> all() {
        InstructionForms f = new InstructionForms();
        f.arithmetic();
        f.unary();
        f.shifts();
        f.multiply();
        f.bits();
        f.moves();
        f.conditions();
        f.atomics();
        f.strings();
        f.addresses();
        f.fused();
        return f.forms;
    }

    private void add(String text, int undefined) {
        forms.add(new Form(text, undefined));
    }

    private void arithmetic() {
        for (String op : List.of("add", "or", "adc", "sbb", "and", "sub", "xor", "cmp", "test")) {
            boolean logic = List.of("or", "and", "xor", "test").contains(op);
            int u = logic ? AF : 0;
            for (int i = 0; i < 4; i++) {
                String s = op + SUFFIX[i];
                add(s + " " + B[i] + "," + A[i], u);
                add(s + " " + R8[i] + "," + R9[i], u);
                add(s + " " + SI[i] + "," + D[i], u);
                add(s + " $0x5a," + A[i], u);
                add(s + " $-2," + R8[i], u);
                add(s + " " + B[i] + ",8(%rdi)", u);
                add(s + " $0x71,16(%rdi)", u);
                if (!op.equals("test")) {
                    add(s + " 24(%rdi)," + D[i], u);
                }
                if (i > 1) {
                    add(s + " $0x12345678," + A[i], u);
                    add(s + " $0x7eeeeeee," + R9[i], u);
                }
            }
            add(op + "b %ah,%bl", u);
            add(op + "b %cl,%dh", u);
            add(op + "b %bh,%ch", u);
            add(op + "b $0x80,%ah", u);
            add(op + "b %dh,3(%rdi)", u);
        }
    }

    private void unary() {
        for (String op : List.of("inc", "dec", "neg", "not")) {
            for (int i = 0; i < 4; i++) {
                add(op + " " + A[i], 0);
                add(op + " " + R9[i], 0);
                add(op + SUFFIX[i] + " (%rdi)", 0);
            }
            add(op + " %bh", 0);
        }
        add("cbtw", 0);
        add("cwtl", 0);
        add("cltq", 0);
        add("cwtd", 0);
        add("cltd", 0);
        add("cqto", 0);
        for (String op : List.of("cmc", "clc", "stc", "lahf", "sahf")) {
            add(op, 0);
        }
        add("pushfq; orq $1,(%rsp); popfq", 0);
    }

    private void shifts() {
        for (String op : List.of("rol", "ror", "rcl", "rcr", "shl", "shr", "sar")) {
            boolean rotate = op.startsWith("r");
            int u = rotate ? 0 : AF;
            for (int i = 0; i < 4; i++) {
                int small = i < 2 && !rotate && !op.equals("sar") ? CF : 0;
                add(op + " $1," + A[i], u);
                add(op + " $3," + R8[i], u | OF);
                add(op + " $" + (8 << i) * 3 / 4 + "," + D[i], u | OF);
                add(op + "b $7,%ah", u | OF);
                add(op + SUFFIX[i] + " $1,8(%rdi)", u);
                add(op + SUFFIX[i] + " $5,8(%rdi)", u | OF);
                add(op + " %cl," + A[i], u | OF | small);
                add(op + SUFFIX[i] + " %cl,16(%rdi)", u | OF | small);
                add("and $7,%cl; " + op + " %cl," + B[i], u | OF | AF);
            }
        }
        for (String op : List.of("shld", "shrd")) {
            for (int i = 1; i < 4; i++) {
                add(op + " $1," + B[i] + "," + A[i], AF);
                add(op + " $7," + B[i] + "," + A[i], AF | OF);
                add(op + " $13," + R8[i] + ",8(%rdi)", AF | OF);
                add("and $15,%cl; " + op + " %cl," + SI[i] + "," + D[i], AF | OF);
                if (i > 1) {
                    add(op + " %cl," + SI[i] + "," + D[i], AF | OF);
                }
            }
        }
    }

    private void multiply() {
        int u = SF | ZF | AF | PF;
        int all = Flags.ARITHMETIC;
        for (int i = 0; i < 4; i++) {
            add("mul " + B[i], u);
            add("imul " + B[i], u);
            add("mul" + SUFFIX[i] + " 8(%rdi)", u);
            add("imul" + SUFFIX[i] + " 8(%rdi)", u);
            add("div " + B[i], all);
            add("idiv " + B[i], all);
            add("idiv" + SUFFIX[i] + " 8(%rdi)", all);
            if (i > 0) {
                add("imul " + B[i] + "," + A[i], u);
                add("imul 16(%rdi)," + R8[i], u);
                add("imul $77," + B[i] + "," + A[i], u);
                add("imul $-1234,8(%rdi)," + D[i], u);
            }
        }
        // quotients that fit
        add("mov $0,%ah; div %bl", all);
        add("xor %edx,%edx; div %bx", all);
        add("xor %edx,%edx; div %ebx", all);
        add("xor %edx,%edx; div %rbx", all);
        add("mov %rsi,%rdx; xor %r8,%r8; cmp %rbx,%rdx; cmovae %r8,%rdx; div %rbx", all);
        add("mov %rsi,%rdx; shr $33,%rdx; shr $1,%rbx; or $1,%rbx; shr $7,%rdx; idiv %rbx", all);
        add("cqto; idiv %rbx", all);
        add("cltd; idiv %ebx", all);
        add("cwtd; idiv %bx", all);
        add("cbtw; idiv %bl", all);
        add("mov %rsi,%rdx; sar $9,%rdx; or $1,%rbx; idiv %rbx", all);
        add("mov %esi,%edx; sar $9,%edx; or $1,%ebx; idiv %ebx", all);
    }

    private void bits() {
        int u = OF | SF | AF | PF;
        for (int i = 1; i < 4; i++) {
            for (String op : List.of("bt", "bts", "btr", "btc")) {
                add(op + " " + B[i] + "," + A[i], u);
                add(op + " $5," + A[i], u);
                add(op + SUFFIX[i] + " $13,8(%rdi)", u);
                add("and $63," + B[i] + "; " + op + " " + B[i] + ",16(%rdi)", u | ZF);
                add("and $31," + B[i] + "; neg " + B[i] + "; " + op + " " + B[i] + ",16(%rdi)", u);
            }
            int scan = OF | SF | AF | PF | CF;
            add("or $1," + B[i] + "; bsf " + B[i] + "," + A[i], scan);
            add("or $1," + B[i] + "; bsr " + B[i] + "," + A[i], scan);
            add("orb $16,9(%rdi); bsf 8(%rdi)," + A[i], scan);
            add("tzcnt " + B[i] + "," + A[i], OF | SF | AF | PF);
            add("lzcnt " + B[i] + "," + A[i], OF | SF | AF | PF);
            add("popcnt " + B[i] + "," + A[i], 0);
            add("popcnt 8(%rdi)," + A[i], 0);
            add("movbe 8(%rdi)," + A[i], 0);
            add("movbe " + A[i] + ",8(%rdi)", 0);
        }
        add("bswap %eax", 0);
        add("bswap %r9", 0);
    }

    private void moves() {
        for (int i = 0; i < 4; i++) {
            add("mov " + B[i] + "," + A[i], 0);
            add("mov " + R8[i] + "," + SI[i], 0);
            add("mov " + B[i] + ",(%rdi)", 0);
            add("mov 8(%rdi)," + D[i], 0);
            add("mov" + SUFFIX[i] + " $-5,16(%rdi)", 0);
            add("mov $-5," + R9[i], 0);
            add("xchg " + B[i] + "," + A[i], 0);
            add("xchg " + R8[i] + "," + D[i], 0);
            add("xchg " + B[i] + ",8(%rdi)", 0);
            if (i > 0) {
                add("movzb" + SUFFIX[i] + " %bl," + A[i], 0);
                add("movsb" + SUFFIX[i] + " %bl," + A[i], 0);
                add("movzb" + SUFFIX[i] + " 8(%rdi)," + A[i], 0);
                add("movsb" + SUFFIX[i] + " 8(%rdi)," + A[i], 0);
            }
            if (i > 1) {
                add("movzw" + SUFFIX[i] + " %bx," + A[i], 0);
                add("movsw" + SUFFIX[i] + " %bx," + A[i], 0);
                add("movzw" + SUFFIX[i] + " 8(%rdi)," + A[i], 0);
                add("movsw" + SUFFIX[i] + " 8(%rdi)," + A[i], 0);
            }
        }
        add("movslq %ebx,%rax", 0);
        add("movslq 8(%rdi),%rax", 0);
        add("mov %ah,%bl", 0);
        add("mov %bl,%ch", 0);
        add("mov %dh,%ah", 0);
        add("mov 8(%rdi),%bh", 0);
        add("mov %bh,8(%rdi)", 0);
        add("mov $0x42,%dh", 0);
        add("xchg %ah,%bl", 0);
        add("xchg %ah,%bh", 0);
        add("xchg %dh,8(%rdi)", 0);
        add("movzbl %ah,%edx", 0);
        add("movsbl %bh,%ecx", 0);
        add("movabs $0x123456789abcdef0,%rax", 0);
        add("push %rax; pop %rbx", 0);
        add("push %ax; pop %bx", 0);
        add("push $-7; pop %r8", 0);
        add("push $0x12345678; pop %r8", 0);
        add("push 8(%rdi); pop 16(%rdi)", 0);
        add("push %rbx; pop %rsi; push %rsp; pop %rax; sub %rsp,%rax", 0);
        add("push %rbx; popq (%rsp); push %rax; push %rbx; popq (%rsp); pop %rdx", 0);
        add("push %rbp; mov %rsp,%rbp; enter $16,$0; leave; leave; push %rbp; pop %r9; xor %r9,%r9", 0);
        add("movnti %rbx,8(%rdi)", 0);
        add("xor %eax,%eax; mov %rsp,%rbx; call 1f; 1: pop %rcx; sub %rsp,%rbx; mov %ebx,%eax; xor %ecx,%ecx", 0);
    }

    private void conditions() {
        for (String c : CONDITIONS) {
            add("set" + c + " %al", 0);
            add("set" + c + " %bh", 0);
            add("set" + c + " 8(%rdi)", 0);
            add("cmov" + c + " %bx,%ax", 0);
            add("cmov" + c + " %ebx,%eax", 0);
            add("cmov" + c + " %r8,%rax", 0);
            add("cmov" + c + " 8(%rdi),%edx", 0);
            add("j" + c + " 1f; mov $1,%eax; 1: nop", 0);
            for (int i = 0; i < 4; i++) {
                add("cmp " + B[i] + "," + A[i] + "; set" + c + " %cl", 0);
                add("add " + B[i] + "," + A[i] + "; set" + c + " %cl", 0);
                add("sbb " + B[i] + "," + A[i] + "; set" + c + " %cl", 0);
                add("adc " + B[i] + "," + A[i] + "; set" + c + " %cl", 0);
                add("dec " + A[i] + "; set" + c + " %cl", 0);
            }
        }
        add("1: add $3,%rbx; and $15,%ecx; loop 1b", 0);
        add("and $15,%ecx; inc %ecx; 1: add $3,%rbx; cmp $200,%bl; loopne 1b", 0);
        add("and $15,%ecx; inc %ecx; 1: add $3,%rbx; test $1,%bl; loope 1b", AF);
        add("jrcxz 1f; mov $7,%eax; 1: nop", 0);
    }

    private void atomics() {
        for (int i = 0; i < 4; i++) {
            for (String op : List.of("add", "or", "adc", "sbb", "and", "sub", "xor")) {
                int u = List.of("or", "and", "xor").contains(op) ? AF : 0;
                add("lock " + op + SUFFIX[i] + " " + B[i] + ",8(%rdi)", u);
                add("lock " + op + SUFFIX[i] + " $0x35,5(%rdi)", u);
            }
            for (String op : List.of("inc", "dec", "neg", "not")) {
                add("lock " + op + SUFFIX[i] + " 8(%rdi)", 0);
            }
            add("lock xadd " + B[i] + ",8(%rdi)", 0);
            add("lock xadd " + B[i] + ",1(%rdi)", 0);
            add("xadd " + B[i] + "," + A[i], 0);
            add("xadd " + D[i] + ",8(%rdi)", 0);
            add("lock cmpxchg " + B[i] + ",8(%rdi)", 0);
            add("mov 8(%rdi)," + A[i] + "; lock cmpxchg " + B[i] + ",8(%rdi)", 0);
            add("mov 7(%rdi)," + A[i] + "; cmpxchg " + B[i] + ",7(%rdi)", 0);
            add("cmpxchg " + B[i] + "," + D[i], 0);
            add("mov " + D[i] + "," + A[i] + "; cmpxchg " + B[i] + "," + D[i], 0);
            if (i > 0) {
                for (String op : List.of("bts", "btr", "btc")) {
                    add("lock " + op + SUFFIX[i] + " $9,8(%rdi)", OF | SF | AF | PF);
                    add("and $127," + B[i] + "; lock " + op + " " + B[i] + ",8(%rdi)", OF | SF | AF | PF | ZF);
                }
            }
        }
        add("cmpxchg8b 8(%rdi)", 0);
        add("mov 8(%rdi),%eax; mov 12(%rdi),%edx; lock cmpxchg8b 8(%rdi)", 0);
        add("cmpxchg16b 16(%rdi)", 0);
        add("mov 16(%rdi),%rax; mov 24(%rdi),%rdx; lock cmpxchg16b 16(%rdi)", 0);
    }

    private void strings() {
        String back = "; sub %rdi,%rsi; mov %r9,%rdi";
        for (int i = 0; i < 4; i++) {
            String s = SUFFIX[i];
            string(" mov %rdi,%rsi; add $32,%rdi; mov $3,%ecx; rep movs" + s + back, 0);
            string(" mov %rdi,%rsi; add $1,%rdi; mov $5,%ecx; rep movs" + s + back, 0);
            string(" lea 40(%rdi),%rsi; add $48,%rdi; std; mov $4,%ecx; rep movs" + s + "; cld" + back, 0);
            string(" mov $5,%ecx; rep stos" + s + "; sub %r9,%rdi; mov %rdi,%rsi; mov %r9,%rdi", 0);
            string(" lea 8(%rdi),%rsi; lods" + s + "; sub %r9,%rsi", 0);
            string(" mov 3(%rdi)," + A[i] + "; mov $9,%ecx; repne scas" + s
                    + "; mov %rdi,%rsi; mov %r9,%rdi; lahf; sub %rdi,%rsi; sahf", OF);
            string(" lea 8(%rdi),%rsi; mov $4,%ecx; repe cmps" + s
                    + "; mov %r9,%rdi; seto %bl; lahf; sub %rdi,%rsi; sahf", OF);
        }
    }

    /** R9 holds the address meanwhile, which is another one on the host. */
    private void string(String text, int undefined) {
        add("mov %rdi,%r9; " + text + "; mov $0,%r9d", undefined);
    }

    private void addresses() {
        add("and $15,%ebx; mov (%rdi,%rbx,2),%rax", AF);
        add("and $7,%ebx; mov 3(%rdi,%rbx,4),%eax", AF);
        add("and $7,%ebx; add 1(%rdi,%rbx),%rax", 0);
        add("lea 0x1234(%rax,%rbx,8),%rdx", 0);
        add("lea -4(%rax,%rbx,2),%edx", 0);
        add("lea 5(%rax,%rbx,4),%dx", 0);
        add("lea 5(%eax,%ebx,4),%rdx", 0);
        add("lea 0x7fffffff(,%rbx,8),%rdx", 0);
        add("lea 1f(%rip),%rax; mov (%rax),%edx; jmp 2f; 1: .long 0x55667788; 2: xor %eax,%eax", AF);
        add("mov 1f(%rip),%eax; jmp 2f; 1: .long 0x55667788; 2: nop", 0);
        add("cmpl $0x55667788,1f(%rip); jmp 2f; 1: .long 0x55667788; 2: nop", 0);
    }

    /** A compare and a jump that the decoder joins. */
    private void fused() {
        for (String c : CONDITIONS) {
            for (int i = 2; i < 4; i++) {
                String tail = "; j" + c + " 1f; mov $1,%cl; 1: nop";
                add("cmp " + B[i] + "," + A[i] + tail, 0);
                add("cmp $-3," + A[i] + tail, 0);
                add("cmp $100," + A[i] + tail, 0);
                add("test " + B[i] + "," + A[i] + tail, AF);
                add("test $0x80," + A[i] + tail, AF);
                add("sub " + B[i] + "," + A[i] + tail, 0);
            }
        }
    }
}
