/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry points of an image: the PVH entry of the first CPU (32-bit flat protected mode, paging off,
 * ebx = physical address of hvm_start_info), the start-up code of the other CPUs, and the trap stubs.
 */

	.set	CR0_PE_ET_PG, 0x80000011
	.set	CR4_PAE, 1 << 5
	.set	MSR_EFER, 0xc0000080
	.set	EFER_LME, 1 << 8
	.set	PTE_TABLE, 0x03			/* present, writable */
	.set	PTE_LARGE, 0x83			/* present, writable, 2 MiB page */
	.set	PTE_LARGE_UNCACHED, 0x9b	/* the same with PWT and PCD */
	.set	RAM_LARGE_PAGES, 1536		/* 3 GiB; the devices are above */
	.set	BOOT_STACK_SIZE, 16384

	.section .note.xen, "a", @note
	.balign 4
	.long	4, 8, 18			/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.quad	pvh_start

	.section .text.start, "ax"
	.code32
	.globl	pvh_start
pvh_start:
	cli
	cld
	movl	$boot_stack_top, %esp
	movl	%ebx, %ebp

	movl	$(pdpt + PTE_TABLE), pml4
	movl	$(page_dirs + PTE_TABLE), pdpt
	movl	$(page_dirs + 0x1000 + PTE_TABLE), pdpt + 8
	movl	$(page_dirs + 0x2000 + PTE_TABLE), pdpt + 16
	movl	$(page_dirs + 0x3000 + PTE_TABLE), pdpt + 24
	xorl	%ecx, %ecx
	movl	$PTE_LARGE, %eax
1:	cmpl	$RAM_LARGE_PAGES, %ecx
	jne	2f
	movl	$(RAM_LARGE_PAGES * 0x200000 + PTE_LARGE_UNCACHED), %eax
2:	movl	%eax, page_dirs(, %ecx, 8)
	addl	$0x200000, %eax
	incl	%ecx
	cmpl	$2048, %ecx
	jne	1b

	lgdt	gdt_pointer
	call	enable_long_mode
	ljmpl	$0x08, $boot_long

/* Paging on, with the tables above: ends in compatibility mode. Every bit of CR0 is set to a known value (an AP starts with the caches off). */
enable_long_mode:
	movl	$pml4, %eax
	movl	%eax, %cr3
	movl	%cr4, %eax
	orl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME, %eax
	wrmsr
	movl	$CR0_PE_ET_PG, %eax
	movl	%eax, %cr0
	ret

	.code64
boot_long:
	call	load_data_segments
	movl	$boot_stack_top, %esp
	movl	%ebp, %edi
	xorl	%ebp, %ebp
	call	boot_main
1:	cli
	hlt
	jmp	1b

load_data_segments:
	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	ret

/* Copied to a page below 1 MiB; an AP begins here in real mode with cs:ip = page:0. */
	.text
	.code16
	.globl	ap_trampoline, ap_trampoline_end
ap_trampoline:
	cli
	cld
	movw	%cs, %ax
	movw	%ax, %ds
	lgdtl	(trampoline_gdt_pointer - ap_trampoline)
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	$0x18, $ap_protected
	.balign 4
trampoline_gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt
ap_trampoline_end:

	.code32
ap_protected:
	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %ss
	movl	ap_stack_top, %esp
	call	enable_long_mode
	ljmpl	$0x08, $ap_long

	.code64
ap_long:
	call	load_data_segments
	movl	ap_stack_top, %esp
	xorl	%ebp, %ebp
	call	ap_main
1:	cli
	hlt
	jmp	1b

/* Trap stubs: a frame as `struct trap_frame` describes it. */
	.macro	trap vector
	.balign	16
trap_stub_\vector:
	.if	(\vector != 8) && (\vector < 10 || \vector > 14) && (\vector != 17) && (\vector != 21)
	pushq	$0
	.endif
	pushq	$\vector
	jmp	trap_common
	.endm

	.altmacro
	.set	i, 0
	.rept	32
	trap	%i
	.set	i, i + 1
	.endr
	trap	64
	trap	255

trap_common:
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	pushq	%rbx
	pushq	%rbp
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	cld
	movq	%rsp, %rdi
	call	trap_handle
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rbp
	popq	%rbx
	popq	%rdx
	popq	%rcx
	popq	%rax
	addq	$16, %rsp
	iretq

	.section .rodata
	.balign 8
	.globl	trap_stubs
/* Pairs of vector and stub, ended by a stub of 0. */
trap_stubs:
	.macro	trap_entry vector
	.quad	\vector, trap_stub_\vector
	.endm
	.set	i, 0
	.rept	32
	trap_entry %i
	.set	i, i + 1
	.endr
	trap_entry 64
	trap_entry 255
	.quad	0, 0

	.data
	.balign 8
gdt:
	.quad	0
	.quad	0x00af9b000000ffff		/* 0x08 64-bit code */
	.quad	0x00cf93000000ffff		/* 0x10 data */
	.quad	0x00cf9b000000ffff		/* 0x18 32-bit code */
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt

	.bss
	.balign	4096
pml4:	.skip	4096
pdpt:	.skip	4096
page_dirs:
	.skip	4 * 4096
	.skip	BOOT_STACK_SIZE
boot_stack_top:

	.section .note.GNU-stack, "", @progbits
