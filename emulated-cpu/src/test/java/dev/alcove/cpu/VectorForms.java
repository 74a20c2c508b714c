// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import java.util.ArrayList;
import java.util.List;

/**
 * Forms of SSE and x87 instructions for {@link NativeVectorTest}: XMM0 to XMM3, EAX, EBX, ECX and EDX hold operands,
 * RDI points to 64 aligned bytes. Left out: what is only approximate on real processors (rcpps, rsqrtps) or here
 * (transcendental functions of the x87 FPU).
 */
final class VectorForms {
    private static final String FULL = "addps addpd subps subpd mulps mulpd divps divpd sqrtps sqrtpd minps minpd maxps maxpd"
            + " addsubps addsubpd haddps haddpd hsubps hsubpd andps andpd andnps andnpd orps orpd xorps xorpd unpcklps"
            + " unpcklpd unpckhps unpckhpd cvtdq2ps cvtps2dq cvttps2dq cvtpd2ps cvtpd2dq cvttpd2dq movsldup movshdup"
            + " paddb paddw paddd paddq paddsb paddsw paddusb paddusw psubb psubw psubd psubq psubsb psubsw psubusb"
            + " psubusw pmullw pmulhw pmulhuw pmuludq pmaddwd psadbw pavgb pavgw pminub pminsw pmaxub pmaxsw pcmpeqb"
            + " pcmpeqw pcmpeqd pcmpgtb pcmpgtw pcmpgtd pand pandn por pxor psllw pslld psllq psrlw psrld psrlq psraw"
            + " psrad packsswb packssdw packuswb punpcklbw punpcklwd punpckldq punpcklqdq punpckhbw punpckhwd"
            + " punpckhdq punpckhqdq movaps movapd movdqa movups movupd movdqu pshufb phaddw phaddd phaddsw phsubw phsubd"
            + " phsubsw pmaddubsw pmulhrsw psignb psignw psignd pabsb pabsw pabsd pmuldq pcmpeqq packusdw pcmpgtq"
            + " pminsb pminsd pminuw pminud pmaxsb pmaxsd pmaxuw pmaxud pmulld phminposuw ptest aesimc aesenc aesenclast"
            + " aesdec aesdeclast";
    private static final String SCALAR = "addss addsd subss subsd mulss mulsd divss divsd sqrtss sqrtsd minss minsd maxss"
            + " maxsd cvtss2sd cvtsd2ss comiss comisd ucomiss ucomisd movss movsd movq cvtps2pd cvtdq2pd movddup"
            + " pmovsxbw pmovsxbd pmovsxbq pmovsxwd pmovsxwq pmovsxdq pmovzxbw pmovzxbd pmovzxbq pmovzxwd pmovzxwq"
            + " pmovzxdq";
    private static final String[] PREDICATES = {"eq", "lt", "le", "unord", "neq", "nlt", "nle", "ord"};

    private final List<String> forms = new ArrayList<>();

    static List<String> all() {
        VectorForms f = new VectorForms();
        f.computing();
        f.immediates();
        f.moves();
        f.conversions();
        f.x87();
        return f.forms;
    }

    private void add(String... texts) {
        forms.addAll(List.of(texts));
    }

    private void computing() {
        for (String op : FULL.split(" ", -1)) {
            add(op + " %xmm1,%xmm0", op + " 16(%rdi),%xmm2", op + " %xmm3,%xmm3");
        }
        for (String op : SCALAR.split(" ", -1)) {
            add(op + " %xmm1,%xmm0", op + " 16(%rdi),%xmm2", op + " 3(%rdi),%xmm1");
        }
        for (String op : List.of("ps", "pd", "ss", "sd")) {
            for (String p : PREDICATES) {
                add("cmp" + p + op + " %xmm1,%xmm0", "cmp" + p + op + " 32(%rdi),%xmm1");
            }
        }
        add("lddqu 5(%rdi),%xmm0", "movntdqa 16(%rdi),%xmm1", "pblendvb %xmm0,%xmm1,%xmm2", "blendvps %xmm0,%xmm1,%xmm2");
        add("blendvpd %xmm0,%xmm1,%xmm2", "pblendvb %xmm0,16(%rdi),%xmm2", "crc32b %al,%ebx", "crc32w %ax,%ebx");
        add("crc32l %eax,%ebx", "crc32q %rax,%rbx", "crc32b 3(%rdi),%rbx", "popcnt %rax,%rbx", "crc32b %ah,%ebx");
    }

    private void immediates() {
        for (int i : new int[] {0, 1, 0x1b, 0x4e, 0x93, 0xb1, 0xe4, 0xff}) {
            for (String op : List.of("shufps", "shufpd", "pshufd", "pshufhw", "pshuflw", "blendps", "blendpd", "pblendw",
                    "palignr", "insertps", "dpps", "dppd", "mpsadbw", "pclmulqdq", "aeskeygenassist")) {
                add(op + " $" + i + ",%xmm1,%xmm0", op + " $" + i + ",16(%rdi),%xmm2");
            }
            for (String op : List.of("pextrb", "pextrd", "pextrw", "extractps")) {
                add(op + " $" + i + ",%xmm1,%eax", op + " $" + i + ",%xmm1,5(%rdi)");
            }
            add("pextrq $" + i + ",%xmm1,%rax", "pinsrb $" + i + ",%eax,%xmm0", "pinsrw $" + i + ",%eax,%xmm0");
            add("pinsrd $" + i + ",%eax,%xmm0", "pinsrq $" + i + ",%rax,%xmm0", "pinsrw $" + i + ",5(%rdi),%xmm0");
        }
        for (int i : new int[] {0, 1, 3, 4, 7, 8, 12, 15, 16, 17, 31, 32, 40, 63, 64, 200}) {
            for (String op : List.of("psllw", "pslld", "psllq", "psrlw", "psrld", "psrlq", "psraw", "psrad", "pslldq", "psrldq")) {
                add(op + " $" + i + ",%xmm1");
            }
            add("palignr $" + i + ",%xmm1,%xmm0");
        }
        for (int i = 0; i < 16; i++) {
            for (String op : List.of("roundps", "roundpd", "roundss", "roundsd")) {
                add(op + " $" + i + ",%xmm1,%xmm0");
            }
        }
        for (int i = 0; i < 128; i += i % 4 == 3 ? 9 : 1) {
            for (String op : List.of("pcmpestrm", "pcmpestri", "pcmpistrm", "pcmpistri")) {
                add(op + " $" + i + ",%xmm1,%xmm2");
            }
        }
    }

    private void moves() {
        add("movaps %xmm0,16(%rdi)", "movups %xmm0,5(%rdi)", "movdqa %xmm1,32(%rdi)", "movdqu %xmm1,7(%rdi)");
        add("movntps %xmm0,16(%rdi)", "movntdq %xmm0,16(%rdi)", "movnti %eax,4(%rdi)", "movnti %rax,8(%rdi)");
        add("movlps 3(%rdi),%xmm0", "movhps 3(%rdi),%xmm0", "movlps %xmm1,3(%rdi)", "movhps %xmm1,3(%rdi)");
        add("movlpd 3(%rdi),%xmm0", "movhpd %xmm1,3(%rdi)", "movhlps %xmm1,%xmm0", "movlhps %xmm1,%xmm0");
        add("movss %xmm0,5(%rdi)", "movsd %xmm0,5(%rdi)", "movq %xmm0,5(%rdi)", "movd %xmm0,5(%rdi)", "movd %xmm0,%eax");
        add("movd %eax,%xmm0", "movq %rax,%xmm0", "movq %xmm1,%rbx", "movd 5(%rdi),%xmm2", "movmskps %xmm1,%eax");
        add("movmskpd %xmm1,%eax", "pmovmskb %xmm1,%ecx", "maskmovdqu %xmm1,%xmm0", "movups %xmm0,%xmm1");
        add("stmxcsr 4(%rdi)", "movl $0x9fc0,(%rdi); ldmxcsr (%rdi)", "movupd 9(%rdi),%xmm3");
        add("movq 8(%rdi),%xmm0; addq $1,%rax; paddd %xmm0,%xmm1");
    }

    private void conversions() {
        for (String to : List.of("ss", "sd")) {
            add("cvtsi2" + to + "l %eax,%xmm0", "cvtsi2" + to + "q %rax,%xmm0", "cvtsi2" + to + "q 8(%rdi),%xmm1");
            for (String op : List.of("cvt" + to + "2si", "cvtt" + to + "2si")) {
                add(op + " %xmm1,%eax", op + " %xmm1,%rax", op + " 16(%rdi),%ebx", op + " 16(%rdi),%rbx");
            }
        }
    }

    private void x87() {
        for (String op : List.of("fadd", "fmul", "fsub", "fsubr", "fdiv", "fdivr")) {
            add(op + " %st(1),%st", op + " %st,%st(2)", op + "p %st,%st(1)", op + "s 16(%rdi)", op + "l 16(%rdi)");
            String integer = "fi" + op.substring(1);
            add(integer + "l 16(%rdi)", integer + "s 16(%rdi)");
        }
        add("fcom %st(1)", "fcomp %st(2)", "fcompp", "fucom %st(1)", "fucomp %st(1)", "fucompp", "fcoms 16(%rdi)");
        add("fcoml 16(%rdi)", "fcompl 16(%rdi)", "ficoml 16(%rdi)", "ficomps 16(%rdi)", "fcomi %st(1),%st");
        add("fcomip %st(1),%st", "fucomi %st(2),%st", "fucomip %st(1),%st", "ftst", "fxam", "fchs", "fabs", "fsqrt");
        add("frndint", "fscale", "fxtract", "fprem", "fprem1", "fdecstp", "fincstp", "ffree %st(2)", "fnop", "fnclex");
        add("fninit", "fld %st(3)", "fst %st(3)", "fstp %st(2)", "fxch %st(2)", "fld1", "fldl2t", "fldl2e", "fldpi");
        add("fldlg2", "fldln2", "fldz", "flds 16(%rdi)", "fldl 16(%rdi)", "fldt 16(%rdi)", "filds 16(%rdi)");
        add("fildl 16(%rdi)", "fildll 16(%rdi)", "fsts 16(%rdi)", "fstps 16(%rdi)", "fstl 16(%rdi)", "fstpl 16(%rdi)");
        add("fstpt 16(%rdi)", "fists 16(%rdi)", "fistps 16(%rdi)", "fistl 16(%rdi)", "fistpl 16(%rdi)");
        add("fistpll 16(%rdi)", "fisttps 16(%rdi)", "fisttpl 16(%rdi)", "fisttpll 16(%rdi)", "fnstcw 3(%rdi)");
        add("fnstsw 3(%rdi)", "fnstsw %ax", "fldcw 16(%rdi)", "fbstp 16(%rdi)", "fbld 16(%rdi)");
        for (String c : List.of("b", "e", "be", "u", "nb", "ne", "nbe", "nu")) {
            add("fcmov" + c + " %st(1),%st");
        }
    }
}
